package apply

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func kernel(t *testing.T, values map[string]string) Sysctl {
	t.Helper()
	s := Sysctl{Root: t.TempDir()}
	for key, value := range values {
		file := filepath.Join(s.Root, key)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(value+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestSysctlReadsPatterns(t *testing.T) {
	s := kernel(t, map[string]string{"net/a/on": "1", "net/b/on": "0", "net/b/off": "5", "net/a/stable_secret": "hush"})
	got := s.Read([]string{"net/*/on", "net/b/off", "net/gone/on", "net/a/stable_secret", "net/a"})
	if want := (map[string]string{"net/a/on": "1", "net/b/on": "0", "net/b/off": "5"}); !maps.Equal(got, want) {
		t.Errorf("the values are %v, want %v", got, want)
	}
}

func TestSysctlPutsWhatIsThere(t *testing.T) {
	s := kernel(t, map[string]string{"a": "1", "b": "4\t5"})
	if err := s.put(map[string]string{"a": "0", "b": "6\t7", "gone": "1"}); err != nil {
		t.Fatal(err)
	}
	if got := s.Read([]string{"*"}); got["a"] != "0" || got["b"] != "6\t7" || len(got) != 2 {
		t.Errorf("the values are %v", got)
	}
}

func TestSysctlNamesWhatTheKernelDoesNotTake(t *testing.T) {
	s := Sysctl{Root: "/proc/sys/kernel"} // osrelease can be read, and by nobody be written
	is := s.Read([]string{"osrelease"})["osrelease"]
	err := s.put(map[string]string{"osrelease": "other"})
	if err == nil || !strings.Contains(err.Error(), `osrelease is "`+is+`" and was "other"`) {
		t.Errorf("the error is %v", err)
	}
}
