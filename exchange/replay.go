package exchange

// keep appends what is sent of the request's body to Out, so that another attempt can send it again, as long as it is not more
// than Keep.
func (x *Exchange) keep(b []byte) {
	switch {
	case x.spilled:
	case len(x.Out)-x.Head+len(b) > x.Keep:
		x.spilled = true
	default:
		x.Out = append(x.Out, b...)
	}
}

// Replayable is true when another attempt can be made after one that failed: all of the request that was sent is still there, and
// the client has got nothing yet.
func (x *Exchange) Replayable() bool { return !x.spilled && !x.informed }

// Discard ends an exchange whose response nobody wants, so that another attempt can be made. It takes the place of Finish.
func (x *Exchange) Discard() {
	x.cutShort = true
	x.Finish()
}
