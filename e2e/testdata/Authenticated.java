import java.net.Authenticator;
import java.net.InetSocketAddress;
import java.net.PasswordAuthentication;
import java.net.ProxySelector;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

/** GETs a URL through the proxy in HTTPS_PROXY, with its credential, and prints what comes back. */
public class Authenticated {
    public static void main(String[] args) throws Exception {
        // Java sends a password to an HTTPS proxy only where it is told that it may.
        System.setProperty("jdk.http.auth.tunneling.disabledSchemes", "");
        URI proxy = URI.create(System.getenv("HTTPS_PROXY"));
        String[] user = proxy.getUserInfo().split(":", 2);
        HttpClient client = HttpClient.newBuilder()
            .proxy(ProxySelector.of(new InetSocketAddress(proxy.getHost(), proxy.getPort())))
            .authenticator(new Authenticator() {
                @Override
                protected PasswordAuthentication getPasswordAuthentication() {
                    return new PasswordAuthentication(user[0], user[1].toCharArray());
                }
            })
            .build();
        HttpRequest request = HttpRequest.newBuilder(URI.create(args[0])).build();
        System.out.print(client.send(request, HttpResponse.BodyHandlers.ofString()).body());
    }
}
