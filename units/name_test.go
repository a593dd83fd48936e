package units

import (
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	for _, row := range []struct {
		name               string
		valid              bool
		unitType           string
		template, instance string
		ok                 bool
	}{
		{name: "app.service", valid: true, unitType: "service"},
		{name: "a.b.socket", valid: true, unitType: "socket"},
		{name: "-.mount", valid: true, unitType: "mount"},
		{name: `dev-disk-by\x2duuid-1:2_3.device`, valid: true, unitType: "device"},
		{name: "app@1.service", valid: true, unitType: "service", template: "app@.service", instance: "1", ok: true},
		{name: "app@.service", valid: true, unitType: "service", template: "app@.service", ok: true},
		{name: "app@a@b.c.service", valid: true, unitType: "service", template: "app@.service", instance: "a@b.c", ok: true},
		{name: strings.Repeat("x", 247) + ".service", valid: true, unitType: "service"},
		{name: strings.Repeat("x", 248) + ".service", unitType: "service"},
		{name: "", unitType: ""},
		{name: ".service", unitType: "service"},
		{name: "app"},
		{name: "app.conf"},
		{name: "app."},
		{name: "app.service "},
		{name: "app.target timer"},
		{name: "my app.service", unitType: "service"},
		{name: "a/b.service", unitType: "service"},
		{name: "größe.service", unitType: "service"},
		{name: "app.service.d"},
		{name: "@.service", unitType: "service", template: "@.service", ok: true},
		{name: "@x.service", unitType: "service", template: "@.service", instance: "x", ok: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			if err := Valid(row.name); (err == nil) != row.valid {
				t.Errorf("Valid gives %v", err)
			}
			if got := TypeOf(row.name); got != row.unitType {
				t.Errorf("TypeOf gives %q, want %q", got, row.unitType)
			}
			template, instance, ok := Template(row.name)
			if template != row.template || instance != row.instance || ok != row.ok {
				t.Errorf("Template gives %q, %q, %v", template, instance, ok)
			}
		})
	}
}
