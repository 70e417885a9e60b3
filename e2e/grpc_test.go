package e2e_test

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// TestGRPC: unary calls, streams of the server, of the client and of both, and
// errors, between grpc-go and grpc-go.
func TestGRPC(t *testing.T) {
	t.Parallel()
	w, g := newWorld(t), newGateway(t)
	calls := w.grpcServer("grpc.corp.test", g.token)
	p := w.serve(options{rules: g.rules("", "https://grpc.corp.test/grpc.testing.TestService/"), hidden: []string{g.token}})
	goClient(t, p, "grpc", "grpc.corp.test")
	if n := calls.Load(); n != 5 {
		t.Errorf("%d calls had the token, want 5", n)
	}
}

// grpcServer starts a server of gRPC's own kind for name, which no call
// without the token gets past, and counts the calls that do.
func (w *world) grpcServer(name, token string) *atomic.Int32 {
	w.t.Helper()
	var calls atomic.Int32
	admit := func(ctx context.Context) error {
		md, _ := metadata.FromIncomingContext(ctx)
		if !slices.Equal(md.Get("authorization"), []string{"Bearer " + token}) {
			return status.Error(codes.Unauthenticated, "not with this token")
		}
		calls.Add(1)
		return nil
	}
	server := grpc.NewServer(
		grpc.Creds(credentials.NewServerTLSFromCert(&w.cert)),
		grpc.UnaryInterceptor(func(ctx context.Context, in any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
			if err := admit(ctx); err != nil {
				return nil, err
			}
			return h(ctx, in)
		}),
		grpc.StreamInterceptor(func(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, h grpc.StreamHandler) error {
			if err := admit(s.Context()); err != nil {
				return err
			}
			return h(srv, s)
		}),
	)
	testpb.RegisterTestServiceServer(server, grpcService{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.place(name+":443", l.Addr().String())
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	w.t.Cleanup(func() {
		server.Stop()
		<-served
	})
	return &calls
}

// grpcService echoes, each in the manner of its method.
type grpcService struct {
	testpb.UnimplementedTestServiceServer
}

func (grpcService) UnaryCall(ctx context.Context, in *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	if s := in.GetResponseStatus(); s.GetCode() != 0 {
		return nil, status.Error(codes.Code(s.GetCode()), s.GetMessage())
	}
	grpc.SetTrailer(ctx, metadata.Pairs("x-last", "word"))
	return &testpb.SimpleResponse{Payload: in.GetPayload()}, nil
}

func (grpcService) StreamingOutputCall(in *testpb.StreamingOutputCallRequest, s grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse]) error {
	for _, p := range in.GetResponseParameters() {
		out := &testpb.StreamingOutputCallResponse{Payload: &testpb.Payload{Body: make([]byte, p.GetSize())}}
		if err := s.Send(out); err != nil {
			return err
		}
	}
	return status.Error(codes.DataLoss, "after the last")
}

func (grpcService) StreamingInputCall(s grpc.ClientStreamingServer[testpb.StreamingInputCallRequest, testpb.StreamingInputCallResponse]) error {
	var total int
	for {
		in, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return s.SendAndClose(&testpb.StreamingInputCallResponse{AggregatedPayloadSize: int32(total)})
		}
		if err != nil {
			return err
		}
		total += len(in.GetPayload().GetBody())
	}
}

func (grpcService) FullDuplexCall(s grpc.BidiStreamingServer[testpb.StreamingOutputCallRequest, testpb.StreamingOutputCallResponse]) error {
	for {
		in, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.Send(&testpb.StreamingOutputCallResponse{Payload: in.GetPayload()}); err != nil {
			return err
		}
	}
}
