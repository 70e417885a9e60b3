import java.io.*;
import java.net.Socket;
import java.nio.file.*;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.*;

/** Reads lines "host port roots" and prints one line per trial: "ok" or "refused" and the reason. */
class Probe {
    public static void main(String[] args) throws Exception {
        BufferedReader trials = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = trials.readLine()) != null; ) {
            String[] trial = line.split(" ", 3);
            try {
                handshake(trial[0], Integer.parseInt(trial[1]), trial[2]);
                System.out.println("ok");
            } catch (SSLException err) {
                // Mostly an SSLHandshakeException. Java 17 stumbles over an excluded name that is
                // empty, which covers all names: a refusal as well, if not a graceful one.
                Throwable cause = err;
                while (cause.getCause() != null) cause = cause.getCause();
                System.out.println("refused " + cause.getMessage().replace('\n', ' '));
            }
        }
    }

    static void handshake(String host, int port, String roots) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null);
        try (InputStream in = Files.newInputStream(Path.of(roots))) {
            store.setCertificateEntry("root", CertificateFactory.getInstance("X.509").generateCertificate(in));
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        try (Socket raw = new Socket("127.0.0.1", port);
             SSLSocket socket = (SSLSocket) context.getSocketFactory().createSocket(raw, host, port, true)) {
            SSLParameters parameters = socket.getSSLParameters();
            parameters.setEndpointIdentificationAlgorithm("HTTPS");
            socket.setSSLParameters(parameters);
            socket.startHandshake();
        }
    }
}
