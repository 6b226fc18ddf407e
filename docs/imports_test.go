package docs

import (
	"os"
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

// TestNoNATS: nothing of this module needs NATS, not even its tests, so whoever does not import hub, a module of
// its own, neither compiles nor downloads it.
func TestNoNATS(t *testing.T) {
	sums, err := os.ReadFile("../go.sum")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(sums), "nats-io/") {
		t.Error("go.sum has NATS")
	}
	goCommand, err := exec.LookPath("go")
	if err != nil {
		t.Skip("there is no go command here, as under Wine: ", err)
	}
	list := exec.Command(goCommand, "list", "-deps", "-test", "./...")
	list.Dir = ".."
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := strings.Fields(string(out))
	for _, p := range packages {
		if strings.Contains(p, "nats-io/") {
			t.Errorf("it needs %s", p)
		}
	}
	if len(packages) < 100 {
		t.Errorf("only %d packages were looked at", len(packages))
	}
}
