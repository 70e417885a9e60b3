package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	grpcmd "google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// talk is a gRPC service without generated code. Every call answers with the
// header and trailer fields "echo-header" and "echo-trailer", which repeat
// what the client sent as "echo", and with the token that reached it.
type talk struct {
	held, left chan struct{} // a call of Wait began, and its context ended
}

func (s *talk) desc() *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: "test.Talk",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{
			{MethodName: "Say", Handler: s.say},
			{MethodName: "Fail", Handler: s.fail},
			{MethodName: "Wait", Handler: s.wait},
		},
		Streams: []grpc.StreamDesc{
			{StreamName: "Count", Handler: s.count, ServerStreams: true},
			{StreamName: "Join", Handler: s.join, ClientStreams: true},
			{StreamName: "Chat", Handler: s.chat, ServerStreams: true, ClientStreams: true},
		},
	}
}

func receive(decode func(any) error) (string, error) {
	in := new(wrapperspb.StringValue)
	err := decode(in)
	return in.Value, err
}

func (s *talk) say(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	in, err := receive(decode)
	md, _ := grpcmd.FromIncomingContext(ctx)
	grpc.SetHeader(ctx, grpcmd.MD{"echo-header": md["echo"], "token": md["x-token"]})
	grpc.SetTrailer(ctx, grpcmd.MD{"echo-trailer": md["echo"]})
	return wrapperspb.String("you said " + in), err
}

// failure is what Fail answers to in.
func failure(i int) (string, codes.Code, string) {
	code := codes.Code(1 + i%16)
	return fmt.Sprintf("%d", i), code, fmt.Sprintf("failure %d: 100%% naïve ☃", i)
}

func (s *talk) fail(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	in, err := receive(decode)
	if err != nil {
		return nil, err
	}
	var i int
	fmt.Sscan(in, &i)
	_, code, message := failure(i)
	return nil, status.Error(code, message)
}

func (s *talk) wait(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	if _, err := receive(decode); err != nil {
		return nil, err
	}
	s.held <- struct{}{}
	<-ctx.Done()
	s.left <- struct{}{}
	return nil, ctx.Err()
}

func (s *talk) count(_ any, stream grpc.ServerStream) error {
	in, err := receive(stream.RecvMsg)
	if err != nil {
		return err
	}
	for i := range steps {
		if err := stream.SendMsg(wrapperspb.String(in + step(i))); err != nil {
			return err
		}
	}
	return status.Error(codes.DataLoss, "the last number is missing")
}

func (s *talk) join(_ any, stream grpc.ServerStream) error {
	var all strings.Builder
	for {
		in, err := receive(stream.RecvMsg)
		if errors.Is(err, io.EOF) {
			return stream.SendMsg(wrapperspb.String(all.String()))
		}
		if err != nil {
			return err
		}
		all.WriteString(in)
	}
}

func (s *talk) chat(_ any, stream grpc.ServerStream) error {
	md, _ := grpcmd.FromIncomingContext(stream.Context())
	stream.SendHeader(grpcmd.MD{"echo-header": md["echo"]})
	stream.SetTrailer(grpcmd.MD{"echo-trailer": md["echo"]})
	for {
		in, err := receive(stream.RecvMsg)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.SendMsg(wrapperspb.String("you said " + in)); err != nil {
			return err
		}
		if in == "stop" {
			return status.Error(codes.DataLoss, "stopped")
		}
	}
}

// newTalk starts the service behind a proxy, with grpc-go's own server as the
// upstream, and returns a client of it.
func newTalk(t *testing.T) (*talk, *grpc.ClientConn, context.Context) {
	t.Helper()
	return newTalkUnder(t, "/test.Talk")
}

// newTalkUnder has the rule's prefix end in path.
func newTalkUnder(t *testing.T, path string) (*talk, *grpc.ClientConn, context.Context) {
	t.Helper()
	origins := newOrigins(t)
	l := listenLoopback(t)
	cert := origins.issue(t, "api.test", nil)
	s := &talk{held: make(chan struct{}, 1), left: make(chan struct{}, 1)}
	server := grpc.NewServer(grpc.Creds(credentials.NewServerTLSFromCert(&cert)))
	server.RegisterService(s.desc(), nil)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() { server.Stop(); <-served })

	_, port, _ := net.SplitHostPort(l.Addr().String())
	authority := "api.test:" + port
	w := newWorld(t, origins, worldOptions{prefixes: []string{"https://" + authority + path}})
	conn, err := grpc.NewClient("passthrough:///"+authority,
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: w.roots})),
		grpc.WithContextDialer(func(ctx context.Context, target string) (net.Conn, error) {
			return connectTo(ctx, w.addr, target)
		}))
	fatal(t, err)
	t.Cleanup(func() { conn.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), guard)
	t.Cleanup(cancel)
	return s, conn, ctx
}

// connectTo is a dialer through the proxy for libraries that bring their own
// TLS.
func connectTo(ctx context.Context, proxy, authority string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", proxy)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", authority)
	// The other side does not speak first: nothing is left in the reader.
	res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: http.MethodConnect})
	if err == nil && res.StatusCode != http.StatusOK {
		err = errors.New(res.Status)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func TestGRPCUnary(t *testing.T) {
	t.Parallel()
	_, conn, ctx := newTalk(t)
	ctx = grpcmd.AppendToOutgoingContext(ctx, "echo", "one", "echo", "two")
	for i := range 20 {
		var header, trailer grpcmd.MD
		out := new(wrapperspb.StringValue)
		fatal(t, conn.Invoke(ctx, "/test.Talk/Say", wrapperspb.String(step(i)), out, grpc.Header(&header), grpc.Trailer(&trailer)))
		if want := "you said " + step(i); out.Value != want {
			t.Errorf("answer %q, want %q", out.Value, want)
		}
		if got := fmt.Sprint(header["echo-header"], trailer["echo-trailer"]); got != "[one two] [one two]" {
			t.Errorf("header and trailer: %s", got)
		}
		if got := header["token"]; len(got) != 1 || !strings.HasSuffix(got[0], "/test.Talk") {
			t.Errorf("token upstream: %q", got)
		}
	}
}

// A failed unary call is one HEADERS frame with the status in it: if its end
// were torn off, grpc-go would report Internal or Unknown.
func TestGRPCErrorsKeepTheirStatus(t *testing.T) {
	t.Parallel()
	_, conn, ctx := newTalk(t)
	for i := range 400 {
		in, code, message := failure(i)
		err := conn.Invoke(ctx, "/test.Talk/Fail", wrapperspb.String(in), new(wrapperspb.StringValue))
		if got := status.Convert(err); got.Code() != code || got.Message() != message {
			t.Fatalf("call %d: %v %q, want %v %q", i, got.Code(), got.Message(), code, message)
		}
	}
}

func TestGRPCUnknownMethod(t *testing.T) {
	t.Parallel()
	_, conn, ctx := newTalk(t)
	err := conn.Invoke(ctx, "/test.Talk/Nothing", wrapperspb.String(""), new(wrapperspb.StringValue))
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("got %v", err)
	}
}

func TestGRPCServerStream(t *testing.T) {
	t.Parallel()
	_, conn, ctx := newTalk(t)
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/test.Talk/Count")
	fatal(t, err)
	fatal(t, stream.SendMsg(wrapperspb.String("number ")))
	fatal(t, stream.CloseSend())
	for i := range steps {
		got, err := receive(stream.RecvMsg)
		if err != nil || got != "number "+step(i) {
			t.Fatalf("message %d: %q, %v", i, got, err)
		}
	}
	_, err = receive(stream.RecvMsg)
	if got := status.Convert(err); got.Code() != codes.DataLoss || got.Message() != "the last number is missing" {
		t.Errorf("status behind the stream: %v", err)
	}
}

func TestGRPCClientStream(t *testing.T) {
	t.Parallel()
	_, conn, ctx := newTalk(t)
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, "/test.Talk/Join")
	fatal(t, err)
	var want string
	for i := range steps {
		want += step(i)
		fatal(t, stream.SendMsg(wrapperspb.String(step(i))))
	}
	fatal(t, stream.CloseSend())
	if got, err := receive(stream.RecvMsg); err != nil || got != want {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestGRPCBothWaysAtOnce(t *testing.T) {
	t.Parallel()
	_, conn, ctx := newTalk(t)
	ctx = grpcmd.AppendToOutgoingContext(ctx, "echo", "chat")
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/test.Talk/Chat")
	fatal(t, err)
	header, err := stream.Header() // comes before any message
	if err != nil || fmt.Sprint(header["echo-header"]) != "[chat]" {
		t.Fatalf("header %v, %v", header, err)
	}
	for i := range 50 {
		fatal(t, stream.SendMsg(wrapperspb.String(step(i))))
		if got, err := receive(stream.RecvMsg); err != nil || got != "you said "+step(i) {
			t.Fatalf("message %d: %q, %v", i, got, err)
		}
	}
	fatal(t, stream.CloseSend())
	if _, err := receive(stream.RecvMsg); !errors.Is(err, io.EOF) {
		t.Errorf("end of the stream: %v", err)
	}
	if got := fmt.Sprint(stream.Trailer()["echo-trailer"]); got != "[chat]" {
		t.Errorf("trailer %s", got)
	}
}

// The server has said its last word while the client still could speak.
func TestGRPCStatusOfAStreamThatTheServerEnds(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"/test.Talk/Chat", "/test.Talk/Nothing"} {
		for _, rule := range []string{"", "/elsewhere"} {
			t.Run(method+rule, func(t *testing.T) {
				_, conn, ctx := newTalkUnder(t, rule)
				stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
				fatal(t, err)
				fatal(t, stream.SendMsg(wrapperspb.String("stop")))
				for err == nil {
					_, err = receive(stream.RecvMsg)
				}
				if got := status.Code(err); got != codes.DataLoss && got != codes.Unimplemented {
					t.Errorf("the client was told %v", err)
				}
			})
		}
	}
}

func TestGRPCDeadlineAndCancellationReachTheServer(t *testing.T) {
	t.Parallel()
	for _, want := range []codes.Code{codes.Canceled, codes.DeadlineExceeded} {
		t.Run(want.String(), func(t *testing.T) {
			s, conn, ctx := newTalk(t)
			fatal(t, conn.Invoke(ctx, "/test.Talk/Say", wrapperspb.String(""), new(wrapperspb.StringValue)))
			ctx, cancel := context.WithCancel(ctx)
			if want == codes.DeadlineExceeded {
				ctx, cancel = context.WithTimeout(ctx, time.Second)
			}
			defer cancel()
			failed := make(chan error, 1)
			go func() {
				failed <- conn.Invoke(ctx, "/test.Talk/Wait", wrapperspb.String(""), new(wrapperspb.StringValue))
			}()
			expect(t, "calls that reached the server", s.held, 1)
			if want == codes.Canceled {
				cancel()
			}
			expect(t, "calls whose end the server saw", s.left, 1)
			got := status.Code(<-failed)
			// The server has the same deadline. Where its clock strikes first
			// it resets the stream, and that becomes an answer of ours.
			if got != want && (want != codes.DeadlineExceeded || got != codes.Unavailable) {
				t.Errorf("the client was told %v", got)
			}
		})
	}
}
