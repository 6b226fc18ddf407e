// Package docs has the documents. Its tests check that what they point to is there.
package docs

import (
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var link = regexp.MustCompile(`\]\(([^)#\s]+)(#[^)]*)?\)`)

// TestLinks: each relative link of a document leads to a file.
func TestLinks(t *testing.T) {
	pages, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	roots, err := filepath.Glob("../*.md")
	if err != nil {
		t.Fatal(err)
	}
	links := 0
	for _, page := range append(pages, roots...) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			links++
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), filepath.FromSlash(m[1]))); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
	if links < 20 {
		t.Errorf("%d links in %d documents", links, len(pages)+len(roots))
	}
}

// TestImports: the packages that every server has import the standard library and x/sys alone, and
// nothing else of this module.
func TestImports(t *testing.T) {
	const module = "github.com/proactor-go/proactor"
	allowed := map[string]bool{module: true, module + "/port": true, module + "/frame": true, module + "/work": true, module + "/proactortest": true}
	args := []string{"list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}"}
	for core := range allowed {
		args = append(args, core)
	}
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skipf("there is no go command here: %v", err)
	}
	out, err := exec.Command(tool, args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range strings.Fields(string(out)) {
		if !allowed[path] && !strings.HasPrefix(path, module+"/internal/") && !strings.HasPrefix(path, module+"/port/") && !strings.HasPrefix(path, "golang.org/x/sys/") {
			t.Errorf("the core imports %s", path)
		}
	}
}

var (
	file = regexp.MustCompile(`(?:[a-z]+/)*(?:porttest|[a-z_]+\.go)\b`)
	name = regexp.MustCompile("`(?:[A-Za-z]+\\.)?([A-Za-z]+)`")
)

// TestWhereToFindIt: each name of the table in architecture.md is declared in a file of its row.
func TestWhereToFindIt(t *testing.T) {
	text, err := os.ReadFile("architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Where to find it\n")
	section, _, _ = strings.Cut(section, "\n## ")
	rows := 0
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || cells[2] == " file " || strings.HasPrefix(cells[1], "--") {
			continue
		}
		rows++
		source := ""
		for _, f := range file.FindAllString(cells[2], -1) {
			matches := []string{path.Join("..", f)}
			if path.Base(f) == "porttest" {
				if matches, err = filepath.Glob("../port/porttest/*.go"); err != nil {
					t.Fatal(err)
				}
			}
			for _, m := range matches {
				b, err := os.ReadFile(m)
				if err != nil {
					t.Error(err)
				}
				source += string(b)
			}
		}
		names := name.FindAllStringSubmatch(cells[3], -1)
		if len(names) == 0 {
			t.Errorf("no name in %q", line)
		}
		for _, n := range names {
			declared := regexp.MustCompile(`(?m)^(func (\([^)]*\) )?|type |var |\t)` + n[1] + `\b`)
			if !declared.MatchString(source) {
				t.Errorf("%s is in none of %s", n[0], cells[2])
			}
		}
	}
	if rows < 10 {
		t.Errorf("the table has %d rows", rows)
	}
}

// TestBoundsAreTested: each test that bounds.md names is there.
func TestBoundsAreTested(t *testing.T) {
	text, err := os.ReadFile("bounds.md")
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9]+)\(`)
	if err := filepath.WalkDir("..", func(at string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(at, "_test.go") {
			return err
		}
		source, err := os.ReadFile(at)
		for _, m := range declared.FindAllSubmatch(source, -1) {
			have[string(m[1])] = true
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile("`(Test[A-Za-z0-9]+)").FindAllStringSubmatch(string(text), -1)
	for _, m := range names {
		if !have[m[1]] {
			t.Errorf("there is no %s", m[1])
		}
	}
	if len(names) < 20 {
		t.Errorf("it names %d tests", len(names))
	}
}

var row = regexp.MustCompile(`(?m)^\| (\d+) \| `)

// TestMutations: each planted bug has a number of its own, and a row in reliability.md.
func TestMutations(t *testing.T) {
	text, err := os.ReadFile("reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]int{}
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		rows[m[1]]++
	}
	patches, err := filepath.Glob("../.ci/mutations/*.patch")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range patches {
		number, _, _ := strings.Cut(filepath.Base(p), "-")
		rows[number]--
	}
	for number, more := range rows {
		if more != 0 {
			t.Errorf("mutation %s: %+d rows beside the patches", number, more)
		}
	}
	if len(patches) < 100 {
		t.Errorf("%d mutations", len(patches))
	}
}
