package e2e_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// grpcClient makes five calls, one of each kind.
func grpcClient(ctx context.Context, host string) error {
	conn, err := grpc.NewClient(host+":443", grpc.WithTransportCredentials(credentials.NewTLS(new(tls.Config))))
	if err != nil {
		return err
	}
	defer conn.Close()
	c := testpb.NewTestServiceClient(conn)
	for _, step := range []struct {
		name string
		do   func(context.Context, testpb.TestServiceClient) error
	}{{"unary", unary}, {"error", unaryError}, {"server stream", serverStream}, {"client stream", clientStream}, {"both", bothStreams}} {
		if err := step.do(ctx, c); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

func unary(ctx context.Context, c testpb.TestServiceClient) error {
	sent := bytes.Repeat([]byte("unary"), 100<<10)
	var trailer metadata.MD
	got, err := c.UnaryCall(ctx, &testpb.SimpleRequest{Payload: &testpb.Payload{Body: sent}}, grpc.Trailer(&trailer))
	if err != nil {
		return err
	}
	if !bytes.Equal(got.GetPayload().GetBody(), sent) {
		return fmt.Errorf("%d bytes came back, not those %d that were sent", len(got.GetPayload().GetBody()), len(sent))
	}
	if v := trailer.Get("x-last"); len(v) != 1 || v[0] != "word" {
		return fmt.Errorf("trailer %q", trailer)
	}
	return nil
}

// unaryError wants a status that comes in a header that is also the end.
func unaryError(ctx context.Context, c testpb.TestServiceClient) error {
	_, err := c.UnaryCall(ctx, &testpb.SimpleRequest{ResponseStatus: &testpb.EchoStatus{Code: int32(codes.FailedPrecondition), Message: "50 % off: ü"}})
	return wantStatus(err, codes.FailedPrecondition, "50 % off: ü")
}

func serverStream(ctx context.Context, c testpb.TestServiceClient) error {
	sizes := []int32{1, 100 << 10, 0, 7}
	in := new(testpb.StreamingOutputCallRequest)
	for _, n := range sizes {
		in.ResponseParameters = append(in.ResponseParameters, &testpb.ResponseParameters{Size: n})
	}
	s, err := c.StreamingOutputCall(ctx, in)
	if err != nil {
		return err
	}
	for _, n := range sizes {
		out, err := s.Recv()
		if err != nil {
			return err
		}
		if len(out.GetPayload().GetBody()) != int(n) {
			return fmt.Errorf("%d bytes, want %d", len(out.GetPayload().GetBody()), n)
		}
	}
	_, err = s.Recv()
	return wantStatus(err, codes.DataLoss, "after the last")
}

func clientStream(ctx context.Context, c testpb.TestServiceClient) error {
	s, err := c.StreamingInputCall(ctx)
	if err != nil {
		return err
	}
	for range 10 {
		if err := s.Send(&testpb.StreamingInputCallRequest{Payload: &testpb.Payload{Body: make([]byte, 50<<10)}}); err != nil {
			return err
		}
	}
	out, err := s.CloseAndRecv()
	if err == nil && out.GetAggregatedPayloadSize() != 500<<10 {
		err = fmt.Errorf("the server got %d bytes", out.GetAggregatedPayloadSize())
	}
	return err
}

// bothStreams sends the next message once the last came back: nothing may be
// held back on either way.
func bothStreams(ctx context.Context, c testpb.TestServiceClient) error {
	s, err := c.FullDuplexCall(ctx)
	if err != nil {
		return err
	}
	for i := range 20 {
		sent := fmt.Sprint("message ", i)
		if err := s.Send(&testpb.StreamingOutputCallRequest{Payload: &testpb.Payload{Body: []byte(sent)}}); err != nil {
			return err
		}
		out, err := s.Recv()
		if err != nil {
			return err
		}
		if got := string(out.GetPayload().GetBody()); got != sent {
			return fmt.Errorf("%q came back, not %q", got, sent)
		}
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	if _, err := s.Recv(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("the end of the stream: %v", err)
	}
	return nil
}

func wantStatus(err error, code codes.Code, message string) error {
	if s := status.Convert(err); s.Code() != code || s.Message() != message {
		return fmt.Errorf("status %v, want %v %q", err, code, message)
	}
	return nil
}
