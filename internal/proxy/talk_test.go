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
