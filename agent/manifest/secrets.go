package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"evenkeel/agent/plan"
	"evenkeel/units"
)

// Secrets come as whole files, NAME.age below files/, and as values of vars that
// are age's armoured text. They are opened as late as can be, and only for the
// host that gets them:
//
//	vars file -- Secret, sealed --> layers --> the host's vars -- open --> templates
//
// What a template makes of a secret is one as well, see renderWatched.

const (
	secretSuffix = ".age"
	redacted     = "[redacted]"
)

// Secret is an encrypted value of a file with vars. However it is printed or
// encoded, it gives nothing away, not even what it is encrypted to.
type Secret struct {
	sealed string
	place  plan.Place
}

// String is the same for all secrets.
func (Secret) String() string { return redacted }

// Format is that of String for every verb, %#v included.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalText is that of String. Loggers ask for it.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON is that of String.
func (Secret) MarshalJSON() ([]byte, error) { return json.Marshal(redacted) }

// MarshalYAML is that of String.
func (Secret) MarshalYAML() (any, error) { return redacted, nil }

// isSealed reports whether a value is encrypted.
func isSealed(value string) bool { return strings.HasPrefix(strings.TrimSpace(value), armoured) }

// data puts together what the templates of a host see. All secrets among the
// vars are opened: a host must be able to open what it gets.
func (r *repo) data(vars map[string]any, facts Facts) data {
	d := data{vars: vars, facts: facts.Values()}
	if holdsSecret(vars) {
		faults := len(r.c.list)
		d.sealed, d.vars, d.withheld = vars, r.opened(vars).(map[string]any), withheld(vars).(map[string]any)
		d.standIns = r.opts.Decrypt == nil || len(r.c.list) > faults
	}
	return d
}

func holdsSecret(v any) bool {
	switch v := v.(type) {
	case Secret:
		return true
	case map[string]any:
		for _, item := range v {
			if holdsSecret(item) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, holdsSecret)
	}
	return false
}

// opened is a copy of a value with every secret in clear.
func (r *repo) opened(v any) any {
	switch v := v.(type) {
	case Secret:
		return string(r.open([]byte(v.sealed), v.place, "the value"))
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, item := range v {
			out[k] = r.opened(item)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = r.opened(item)
		}
		return out
	}
	return v
}

// withheld is a copy of a value in which secrets are missing: keys are not
// there, elements of lists are null.
func withheld(v any) any {
	switch v := v.(type) {
	case Secret:
		return nil
	case map[string]any:
		out := maps.Clone(v)
		for k, item := range v {
			if _, is := item.(Secret); is {
				delete(out, k)
			} else {
				out[k] = withheld(item)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = withheld(item)
		}
		return out
	}
	return v
}

// open gives what an encrypted text says. Where there are no keys, or not the
// right ones, it gives a stand-in, which differs when the text does.
func (r *repo) open(sealed []byte, place plan.Place, what string) []byte {
	if r.opts.Decrypt != nil {
		text, err := r.opts.Decrypt(sealed)
		if err == nil {
			r.words.secret(string(text))
			return text
		}
		r.c.at(place, r.recipientHint(), "%s cannot be decrypted here: %v", what, err)
	} else {
		r.sealed = append(r.sealed, place)
	}
	return fmt.Appendf(nil, "[secret %.16s]", plan.DigestKey(nil).Digest(sealed))
}

// recipientHint says to whom a secret must be encrypted for this host.
func (r *repo) recipientHint() string {
	if len(r.opts.Recipients) == 0 {
		return `make one on the host with "evenkeel secret keygen", and encrypt to what it prints`
	}
	return "encrypt it to " + strings.Join(r.opts.Recipients, " or ")
}

// renderWatched is render, and tells whether what comes out holds anything of a
// secret: it would come out otherwise, or not at all, if the secrets were not
// there. So what a function made of one counts, and a choice that hangs on one.
func (r *repo) renderWatched(rr *renderer, t *parsed, limit int64) (out []byte, secret bool, problem *Problem) {
	d := rr.data
	var without []byte
	var otherwise *Problem
	if d.withheld != nil {
		// First, so that what the renderer keeps is of the real run, and for free.
		work := *rr.meter.host
		rr.values = data{vars: d.withheld, facts: d.facts, role: d.role}.values()
		without, otherwise = rr.render(t, limit)
		rr.values, *rr.meter.host = d.values(), work
	}
	out, problem = rr.render(t, limit)
	if d.withheld != nil {
		same := problem != nil && otherwise != nil && *problem == *otherwise
		switch {
		case problem == nil:
			if secret = otherwise != nil || !bytes.Equal(out, without); secret && !d.standIns {
				r.words.made(rr.textOf(t), out, without)
			}
		case problem.doubt == doubtCall && d.standIns && !same:
			// A function took offence at a stand-in; it may like the secret.
			out, secret, problem = []byte(redacted), true, nil
		}
	}
	if problem != nil && problem.doubt == doubtCall {
		problem.doubt = sure
	}
	return out, secret, problem
}

// excuses reports whether what a schema has against the vars may only be the fault
// of a stand-in. That a secret is text is known, and which values there are.
func (d data) excuses(v *jsonschema.ValidationError) bool {
	if !d.standIns {
		return false
	}
	switch v.ErrorKind.(type) {
	case *kind.Type, *kind.Required, *kind.DependentRequired, *kind.AdditionalProperties, *kind.PropertyNames, *kind.FalseSchema,
		*kind.MinItems, *kind.MaxItems, *kind.MinProperties, *kind.MaxProperties:
		return false
	}
	return holdsSecret(valueAt(d.sealed, v.InstanceLocation))
}

// valueAt follows a path of keys, and of indexes of lists.
func valueAt(v any, path []string) any {
	for _, part := range path {
		switch at := v.(type) {
		case map[string]any:
			v = at[part]
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(at) {
				return nil
			}
			v = at[i]
		default:
			return nil
		}
	}
	return v
}

// secret takes a path that holds a secret; false when it may not.
func (b *builder) secret(ro role, dest string, p plan.Path) bool {
	place := b.t.Origin[dest]
	if fault, hint := secretFault(dest); fault != "" {
		b.c.at(place, hint, "%s", fault)
		return false
	}
	if p.Mode&0o007 != 0 {
		b.c.at(ro.files[dest].place, `such as "0640" with a group`, "%q holds a secret, and with the mode %04o everybody on the host could use it", dest, p.Mode)
		return false
	}
	b.t.Secret[dest] = true
	return true
}

// secretFault says why a path may not hold a secret, "" when it may.
func secretFault(dest string) (fault, hint string) {
	if _, _, ok := unitOf(dest); ok || units.IsUnitPath(dest) {
		return fmt.Sprintf("%q would hold a secret, and systemd shows everybody what is in units", dest),
			"name a file that holds it: LoadCredential=, LoadCredentialEncrypted= or EnvironmentFile="
	}
	if path.Dir(dest) == "/etc/sysusers.d" {
		return fmt.Sprintf("%q would hold a secret, and accounts have none", dest), ""
	}
	return "", ""
}

// sealedPlaces are the secrets that stand-ins took the place of, each once.
func (r *repo) sealedPlaces() []plan.Place {
	slices.SortFunc(r.sealed, func(a, b plan.Place) int {
		if c := strings.Compare(a.File, b.File); c != 0 {
			return c
		}
		return a.Line - b.Line
	})
	return slices.Compact(r.sealed)
}
