package gate

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
)

// TestABurstIsMoreThanTheStreamsThatAServerAllows holds that it is served all the
// same, each request once: what HTTP/2 refuses before it begins is sent again.
func TestABurstIsMoreThanTheStreamsThatAServerAllows(t *testing.T) {
	t.Parallel()
	const most, burst = 5, 60
	var calls atomic.Int64
	back := &http.Server{Protocols: new(http.Protocols), HTTP2: &http.HTTP2Config{MaxConcurrentStreams: most}, ErrorLog: discard()}
	back.Protocols.SetUnencryptedHTTP2(true)
	back.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		calls.Add(1)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{}}`)
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- back.Serve(l) }()
	t.Cleanup(func() { back.Close(); <-served })
	f := stand(t, Options{Routes: []Route{{Path: "/", Allow: true, Tools: []Grant{{Pattern: "other"}}, Protocol: "h2c"}}}, "http://"+l.Addr().String())
	var all sync.WaitGroup
	for range burst {
		all.Go(func() {
			res, err := f.client.Do(f.request(t, "POST", "/", callEcho))
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			if body, _ := io.ReadAll(res.Body); res.StatusCode != 200 {
				t.Errorf("%s, %s", res.Status, body)
			}
		})
	}
	all.Wait()
	if n := calls.Load(); n != burst {
		t.Errorf("the upstream carried out %d calls for %d", n, burst)
	}
}

// says is an upstream over HTTP/2 that deals with the n-th request, from 1, as
// deal says, if that does not return false: then it answers 200.
func says(t *testing.T, deal func(fr *http2.Framer, stream uint32, n int64) bool) (url string, asked *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked = new(atomic.Int64)
	var all sync.WaitGroup
	t.Cleanup(func() { l.Close(); all.Wait() })
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				_, _ = io.ReadFull(c, make([]byte, len(http2.ClientPreface)))
				fr := http2.NewFramer(c, c)
				_ = fr.WriteSettings()
				for {
					f, err := fr.ReadFrame()
					if err != nil {
						return
					}
					h := f.Header()
					if !h.Flags.Has(http2.FlagDataEndStream) || h.Type != http2.FrameData && h.Type != http2.FrameHeaders {
						continue
					}
					if !deal(fr, h.StreamID, asked.Add(1)) {
						_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: h.StreamID, BlockFragment: []byte{0x88}, EndHeaders: true, EndStream: true})
					}
				}
			})
		}
	})
	return "http://" + l.Addr().String(), asked
}

func TestOnlyWhatHTTP2SaysWasNotProcessedIsSentAgain(t *testing.T) {
	t.Parallel()
	reset := func(code http2.ErrCode) func(*http2.Framer, uint32, int64) bool {
		return func(fr *http2.Framer, stream uint32, n int64) bool {
			return n == 1 && fr.WriteRSTStream(stream, code) == nil
		}
	}
	goaway := func(last uint32, code http2.ErrCode) func(*http2.Framer, uint32, int64) bool {
		return func(fr *http2.Framer, _ uint32, n int64) bool {
			if n == 1 && fr.WriteGoAway(last, code, nil) == nil {
				_ = fr.WriteRSTStream(last, http2.ErrCodeInternal) // if it did begin
				return true
			}
			return false
		}
	}
	for _, c := range []struct {
		name   string
		deal   func(*http2.Framer, uint32, int64) bool
		status int
		asked  int64
	}{
		{"refused", reset(http2.ErrCodeRefusedStream), 200, 2},
		{"not reached by GOAWAY", goaway(0, http2.ErrCodeNo), 200, 2},
		{"reached by GOAWAY", goaway(1, http2.ErrCodeNo), 502, 1},
		{"not reached by GOAWAY for an error", goaway(0, http2.ErrCodeProtocol), 502, 1},
		{"protocol error", reset(http2.ErrCodeProtocol), 502, 1},
		{"internal error", reset(http2.ErrCodeInternal), 502, 1},
		{"cancelled", reset(http2.ErrCodeCancel), 502, 1},
		{"calm", reset(http2.ErrCodeEnhanceYourCalm), 502, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url, asked := says(t, c.deal)
			f := stand(t, Options{Routes: []Route{{Path: "/", Allow: true, Tools: []Grant{{Pattern: "other"}}, Protocol: "h2c"}}}, url)
			if res, body := f.do(t, f.request(t, "POST", "/", callEcho)); res.StatusCode != c.status || asked.Load() != c.asked {
				t.Errorf("%s, %s; asked %d times", res.Status, body, asked.Load())
			}
		})
	}
}

// TestWordsOfNetHTTPCountAsTheyAre holds that nothing an upstream can say makes a
// request be sent again that may have been carried out.
func TestWordsOfNetHTTPCountAsTheyAre(t *testing.T) {
	t.Parallel()
	const goodbye = "http2: Transport: cannot retry err [http2: Transport received Server's graceful shutdown GOAWAY] after Request.Body was written"
	for _, c := range []struct {
		err   string
		wrote bool // the header
		want  bool
	}{
		{goodbye, true, true},
		{"http2: server sent GOAWAY and closed the connection; LastStreamID=1, ErrCode=NO_ERROR, debug=\"" + goodbye + "\"", true, false},
		{"http2: Transport: cannot retry err [stream error: stream ID 1; PROTOCOL_ERROR; received from peer] after Request.Body was written", true, false},
		{"net/http: cannot rewind body after connection loss", false, true},
		{"net/http: cannot rewind body after connection loss", true, false},
		{"EOF", false, false},
	} {
		a := new(asking)
		a.wrote.Store(c.wrote)
		if got := a.unprocessed(errors.New(c.err)); got != c.want {
			t.Errorf("%s, header written %v: %v", c.err, c.wrote, got)
		}
	}
}
