package telemetry

import "github.com/prometheus/client_golang/prometheus"

type tunnelMetrics struct {
	made, refused prometheus.Counter
	open          prometheus.Gauge
	up, down      prometheus.Counter
}

func newTunnelMetrics(f factory) tunnelMetrics {
	total := f.counter("tunnels_total", "CONNECT requests to what no rule names, by whether the upstream could be reached.", "result")
	bytes := f.counter("tunnel_bytes_total", "Bytes through tunnels, counted when one ends.", "direction")
	return tunnelMetrics{
		made: total.WithLabelValues("made"), refused: total.WithLabelValues("refused"),
		open: f.gauge("tunnels_open", "Tunnels that have not ended.").WithLabelValues(),
		up:   bytes.WithLabelValues("up"), down: bytes.WithLabelValues("down"),
	}
}

// Tunnel counts a tunnel, and what it returns its end, if there is one to come.
func (m *Metrics) Tunnel(made bool) (ended func(up, down int64)) {
	t := &m.tunnels
	if !made {
		t.refused.Inc()
		return nil
	}
	t.made.Inc()
	t.open.Inc()
	return func(up, down int64) {
		t.open.Dec()
		t.up.Add(float64(up))
		t.down.Add(float64(down))
	}
}
