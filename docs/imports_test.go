package docs

import (
	"os/exec"
	"strings"
	"testing"
)

// TestCoreImports: what a server needs at its core takes nothing but the standard library and x/sys.
func TestCoreImports(t *testing.T) {
	const module = "github.com/proactor-go/proactor"
	goCommand, err := exec.LookPath("go")
	if err != nil {
		t.Skip("there is no go command here, as under Wine: ", err)
	}
	list := exec.Command(goCommand, "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".", "./port", "./frame", "./work", "./proactortest", "./netconn", "./certs")
	list.Dir = ".."
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := strings.Fields(string(out))
	for _, p := range packages {
		if p != module && !strings.HasPrefix(p, module+"/") && !strings.HasPrefix(p, "golang.org/x/sys/") {
			t.Errorf("a core package needs %s", p)
		}
	}
	if len(packages) < 10 {
		t.Errorf("only %d packages were looked at", len(packages))
	}
}
