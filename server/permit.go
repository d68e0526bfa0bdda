package server

import "fmt"

// foreign is a socket whose file is somebody else's to keep.
type foreign interface{ Foreign() bool }

// permitAll gives the unix sockets of an Opening their owners and modes, those that were open before too. On error all are as they were.
func (o *Opening) permitAll() (problems []error) {
	var undone []func()
	for i := range o.want {
		w := &o.want[i]
		f, ok := o.next[w.Address].Listener.(foreign)
		if w.Address.Network != "unix" || ok && f.Foreign() {
			continue
		}
		undo, err := w.Permission.Apply(w.Address.Addr)
		if err != nil {
			problems = append(problems, fmt.Errorf("cannot listen on %q: %w", w.Address, err))
			continue
		}
		undone = append(undone, undo)
	}
	if len(problems) > 0 {
		for _, undo := range undone {
			undo()
		}
	}
	return problems
}
