package port

import "errors"

func openSim(p *Port) (backend, error) { return nil, errors.New("not built yet") }
