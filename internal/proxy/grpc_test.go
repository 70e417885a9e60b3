package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcmd "google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

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
	for method, want := range map[string]codes.Code{"/test.Talk/Chat": codes.DataLoss, "/test.Talk/Nothing": codes.Unimplemented} {
		for _, rule := range []string{"", "/elsewhere"} {
			t.Run(method+rule, func(t *testing.T) {
				_, conn, ctx := newTalkUnder(t, rule)
				stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
				fatal(t, err)
				// EOF: the server's word came first; receiving says what it was.
				if err := stream.SendMsg(wrapperspb.String("stop")); err != nil && !errors.Is(err, io.EOF) {
					t.Fatal(err)
				}
				for err == nil {
					_, err = receive(stream.RecvMsg)
				}
				if got := status.Code(err); got != want {
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
