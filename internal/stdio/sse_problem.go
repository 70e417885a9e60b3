package stdio

import "time"

// gone says that there is no stream in the place of the one that was lost.
func gone(o Options, last error) error {
	line, data := told(o, last)
	f := ours("the connection to the server is lost, and could not be made again within %d s%s", mostWait/time.Second, line)
	f.data = data
	return f
}

// neither says that the server is reached by no transport. What it said first
// counts: most servers are not of 2024-11-05.
func neither(o Options, first *refusal, second error) error {
	line, _ := told(o, second)
	f := ours("%s; as a server of MCP 2024-11-05 it was not reached either%s", first.line(), line)
	f.data = first.problem()
	if _, e, ok := spokenIn(first.body); ok && e.message != "" {
		f.code, f.line = e.code, e.message+" ("+f.line+")"
	}
	return f
}

// told returns what is told of an error at the end of a line.
func told(o Options, err error) (line string, data any) {
	switch e := err.(type) {
	case nil:
		return "", nil
	case *refusal:
		line, data = e.line(), e.problem()
	case *failure:
		line, data = e.line, e.data
	default:
		if line = err.Error(); o.Explain != nil {
			line, data = o.Explain(err)
		}
	}
	return ": " + line, data
}
