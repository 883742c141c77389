package process

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestChildThatEndsByItself(t *testing.T) {
	t.Parallel()
	c, err := Start(Spec{
		Name: "scheduler", Path: "/bin/sh", Args: []string{"-c", "for i in $(seq 99); do echo line $i; done; echo no $WORD; exit 3"},
		Env: []string{"WORD=luck"}, Log: filepath.Join(t.TempDir(), "log"),
	})
	if err != nil {
		t.Fatal(err)
	}
	<-c.Done()
	got := c.Err().Error()
	for _, want := range []string{"scheduler ended by itself: exit status 3", "no luck", "line 99"} {
		if !strings.Contains(got, want) {
			t.Errorf("error lacks %q: %s", want, got)
		}
	}
	if strings.Contains(got, "line 1\n") {
		t.Errorf("error holds the whole log: %s", got)
	}
}

func TestKill(t *testing.T) {
	t.Parallel()
	// The shell's own child must end too: it is in the same group.
	log := filepath.Join(t.TempDir(), "log")
	c, err := Start(Spec{Name: "x", Path: "/bin/sh", Args: []string{"-c", "sleep 600 & wait"}, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := c.Err(); err != nil {
		t.Errorf("an end that was asked for is an error: %v", err)
	}
	if err := c.Kill(); err != nil {
		t.Errorf("second kill: %v", err)
	}
}

func TestStartOfNothing(t *testing.T) {
	t.Parallel()
	if _, err := Start(Spec{Name: "x", Path: "/no/such", Log: filepath.Join(t.TempDir(), "log")}); err == nil {
		t.Error("want an error")
	}
}
