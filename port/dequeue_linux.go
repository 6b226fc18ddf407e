package port

// skipLook says, once after each poll that found few, that a backend need not
// look without blocking: most likely there is nothing, and the caller blocks
// next, which looks as well.
func (p *Port) skipLook() bool {
	skip := p.patient && p.few
	p.few = false
	return skip
}
