import java.net.HttpURLConnection;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

/** GETs a URL with both clients of the JDK, none of them configured. */
public class Get {
    public static void main(String[] args) throws Exception {
        URI uri = URI.create(args[0]);
        int old = ((HttpURLConnection) uri.toURL().openConnection()).getResponseCode();
        int now = HttpClient.newHttpClient().send(HttpRequest.newBuilder(uri).build(), HttpResponse.BodyHandlers.ofString()).statusCode();
        if (old != 200 || now != 200) {
            throw new AssertionError(old + " and " + now);
        }
    }
}
