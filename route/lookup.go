package route

import "bytes"

// Lookup returns the backend of a host and path. The host is as NormalizeHost returns it; an empty one is covered
// by "*" only. The path is the raw one of an origin-form target without its query; "*" and an empty one are covered
// by keys without a prefix only. The error is ErrNoRoute or, where a rule depends on the path, an ErrAmbiguousPath
// that says why: tell them apart by errors.Is.
func (t *Table) Lookup(host, path []byte) (backend int, err error) {
	r, err := t.find(host, path)
	if err != nil {
		return 0, err
	}
	return r.Backend, nil
}

// Explain lists the rules that Lookup goes through, in their order. Without an error the last one is the match,
// and those before it do not cover the path; with one, the same as Lookup's, the list is of all that were candidates.
func (t *Table) Explain(host, path []byte) (tried []Rule, err error) {
	match, err := t.find(host, path)
	w := walk{t: t, host: host}
	for s := w.next(); s != nil; s = w.next() {
		for i := range s.rules {
			tried = append(tried, s.rules[i])
			if &s.rules[i] == match {
				return tried, nil
			}
		}
	}
	return tried, err
}

// find goes by the host alone as far as that decides.
func (t *Table) find(host, path []byte) (*Rule, error) {
	w := walk{t: t, host: host}
	s := w.next()
	switch {
	case s == nil:
		return nil, ErrNoRoute
	case s.kids == nil: // and so it has a rule for every path
		return s.rule, nil
	default:
		return w.findByPath(s, path)
	}
}

// findByPath tries s and the hosts after it. It is apart from find because clearing the scratch takes time.
func (w *walk) findByPath(s *site, path []byte) (*Rule, error) {
	var scratch [MaxPrefix + 1]byte
	// One byte more than the longest prefix: a segment cut short there cannot pass for a whole one.
	head, parameters, err := decode(scratch[:0:w.t.longest+1], path, false)
	if err != nil {
		return nil, err
	}
	other := *w
	r := w.match(s, head)
	if parameters {
		head, _, _ = decode(scratch[:0:w.t.longest+1], path, true) // what is wrong with it was found before
		if other.match(s, head) != r {
			return nil, errParameters
		}
	}
	if r == nil {
		return nil, ErrNoRoute
	}
	return r, nil
}

// match returns the rule that covers path, of s or the hosts after it; nil if none does.
func (w *walk) match(s *site, path []byte) *Rule {
	for ; s != nil; s = w.next() {
		if r := s.match(path); r != nil {
			return r
		}
	}
	return nil
}

// match returns the rule with the longest prefix that covers path, nil if none does.
// Each segment is hashed once and by itself, so that a path of many costs no more than its length.
func (n *node) match(path []byte) *Rule {
	best := n.rule
	for len(n.kids) > 0 && len(path) > 0 && path[0] == '/' {
		segment := path[1:]
		if i := bytes.IndexByte(segment, '/'); i >= 0 {
			segment = segment[:i]
		}
		path = path[1+len(segment):]
		if n = n.kids[string(segment)]; n == nil {
			break
		}
		if n.rule != nil {
			best = n.rule
		}
	}
	return best
}

// walk goes through the sites that cover a host, in their order of precedence.
type walk struct {
	t    *Table
	host []byte

	stage  stage
	suffix []byte // of host: the next name to look for behind "*."
	labels int    // in suffix; 0: no more wildcards
}

type stage uint8

const (
	stageExact stage = iota
	stageWild
	stageAny
)

// next returns nil at the end.
func (w *walk) next() *site {
	if w.stage == stageExact {
		w.stage = stageWild
		w.suffix, w.labels = lastLabels(w.host, w.t.maxLabels)
		if s := w.t.exact[string(w.host)]; s != nil {
			return s
		}
	}
	if w.stage == stageWild {
		if s := w.nextWild(); s != nil {
			return s
		}
		w.stage = stageAny
		return w.t.any
	}
	return nil
}

// nextWild looks only for names of as many labels as some wildcard has.
func (w *walk) nextWild() *site {
	for w.labels > 0 {
		name, isUsed := w.suffix, w.t.labels[w.labels]
		w.labels--
		w.suffix = w.suffix[bytes.IndexByte(w.suffix, '.')+1:]
		if !isUsed {
			continue
		}
		if s := w.t.wild[string(name)]; s != nil {
			return s
		}
	}
	return nil
}

// lastLabels returns the last n labels of host, or all but the first one if it has no more than n.
func lastLabels(host []byte, n int) (suffix []byte, labels int) {
	start := len(host) + 1
	for labels < n {
		dot := bytes.LastIndexByte(host[:start-1], '.')
		if dot < 0 {
			break
		}
		start = dot + 1
		labels++
	}
	if labels == 0 {
		return nil, 0
	}
	return host[start:], labels
}
