// A row of the matrix on the Azure IoT device SDK for Java, unchanged. Argument: JSON with `transport` (mqtt, websocket), `ca`
// (file) and `connection`; without `connection` it is a module in its edge environment. Run as it is: `java -cp 'lib/*' Matrix.java`.

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.microsoft.azure.sdk.iot.device.ClientOptions;
import com.microsoft.azure.sdk.iot.device.DeviceClient;
import com.microsoft.azure.sdk.iot.device.FileUploadCompletionNotification;
import com.microsoft.azure.sdk.iot.device.FileUploadSasUriRequest;
import com.microsoft.azure.sdk.iot.device.InternalClient;
import com.microsoft.azure.sdk.iot.device.IotHubClientProtocol;
import com.microsoft.azure.sdk.iot.device.IotHubConnectionStatusChangeReason;
import com.microsoft.azure.sdk.iot.device.IotHubMessageResult;
import com.microsoft.azure.sdk.iot.device.IotHubStatusCode;
import com.microsoft.azure.sdk.iot.device.Message;
import com.microsoft.azure.sdk.iot.device.MessageProperty;
import com.microsoft.azure.sdk.iot.device.ModuleClient;
import com.microsoft.azure.sdk.iot.device.exceptions.IotHubClientException;
import com.microsoft.azure.sdk.iot.device.hsm.UnixDomainSocketChannel;
import com.microsoft.azure.sdk.iot.device.transport.IotHubConnectionStatus;
import com.microsoft.azure.sdk.iot.device.twin.DirectMethodResponse;
import com.microsoft.azure.sdk.iot.device.twin.Twin;
import com.microsoft.azure.sdk.iot.device.twin.TwinCollection;
import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.Callable;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

public class Matrix {
    static final Gson GSON = new GsonBuilder().serializeNulls().disableHtmlEscaping().create();
    /** How long an answer may take before it is asked for again, in milliseconds. */
    static final int SOON = 3000;
    static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);

    final String connection;
    final IotHubClientProtocol protocol;
    final SSLContext trust;
    InternalClient client;
    volatile boolean renewing;

    Matrix(JsonObject config) throws Exception {
        connection = config.has("connection") ? withGateway(config.get("connection").getAsString()) : null;
        boolean websocket = config.get("transport").getAsString().equals("websocket");
        protocol = websocket ? IotHubClientProtocol.MQTT_WS : IotHubClientProtocol.MQTT;
        trust = trusting(config.get("ca").getAsString());
    }

    /** To a module whose connection string names no gateway the SDK gives no inputs. */
    static String withGateway(String connection) {
        String host = connection.split(";")[0].substring("HostName=".length());
        return connection.contains("ModuleId=") ? connection + ";GatewayHostName=" + host : connection;
    }

    public static void main(String[] arguments) throws Exception {
        Matrix matrix = new Matrix(GSON.fromJson(arguments[0], JsonObject.class));
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = input.readLine()) != null; ) {
            try {
                Object reply = matrix.act(GSON.fromJson(line, JsonObject.class));
                say("reply", reply);
            } catch (Exception error) {
                say("failure", error.toString(), "cause", String.valueOf(error.getCause()));
            }
        }
        System.exit(0);
    }

    static synchronized void say(Object... pairs) {
        Map<String, Object> line = new LinkedHashMap<>();
        for (int i = 0; i < pairs.length; i += 2) line.put((String) pairs[i], pairs[i + 1]);
        OUT.println(GSON.toJson(line));
    }

    /** Only this authority is trusted, for MQTT and for HTTPS. */
    static SSLContext trusting(String file) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null);
        try (FileInputStream pem = new FileInputStream(file)) {
            store.setCertificateEntry("hub", CertificateFactory.getInstance("X.509").generateCertificate(pem));
        }
        TrustManagerFactory managers = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        managers.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, managers.getTrustManagers(), null);
        return context;
    }

    Object act(JsonObject line) throws Exception {
        switch (line.get("do").getAsString()) {
            case "open" -> open(ClientOptions.builder());
            case "watch" -> watch();
            case "disconnect" -> client.close();
            case "connect" -> {
                client.open(true);
                watch();
            }
            case "renew" -> {
                open(ClientOptions.builder().sasTokenExpiryTime(line.get("seconds").getAsLong()));
                watch();
                renewing = true;
            }
            case "twin" -> {
                Twin twin = again(() -> client.getTwin(SOON));
                return Map.of("desired", twin.getDesiredProperties(), "reported", twin.getReportedProperties());
            }
            case "report" -> {
                TwinCollection reported = new TwinCollection();
                line.getAsJsonObject("patch").entrySet().forEach(entry -> reported.put(entry.getKey(), GSON.fromJson(entry.getValue(), Object.class)));
                again(() -> client.updateReportedProperties(reported, SOON));
            }
            case "send" -> send(line);
            case "upload" -> upload(line.get("name").getAsString(), line.get("content").getAsString());
            default -> throw new IllegalArgumentException(line.toString());
        }
        return null;
    }

    /** Between two threads of the SDK an answer can lose the one that waits for it; a program asks again. */
    static <T> T again(Callable<T> ask) throws Exception {
        for (int tries = 1; ; tries++) {
            try {
                return ask.call();
            } catch (IotHubClientException error) {
                if (tries == 10 || error.getStatusCode() != IotHubStatusCode.DEVICE_OPERATION_TIMED_OUT) throw error;
            }
        }
    }

    void open(ClientOptions.ClientOptionsBuilder options) throws Exception {
        renewing = false;
        if (client != null) client.close();
        if (connection == null) {
            client = ModuleClient.createFromEnvironment(new WorkloadSocket(), protocol, options.build());
        } else if (connection.contains("ModuleId=")) {
            client = new ModuleClient(connection, protocol, options.sslContext(trust).build());
        } else {
            client = new DeviceClient(connection, protocol, options.sslContext(trust).build());
        }
        InternalClient opened = client;
        client.setConnectionStatusChangeCallback((change) -> {
            boolean wanted = change.getNewStatusReason() == IotHubConnectionStatusChangeReason.CLIENT_CLOSE;
            if (change.getNewStatus() == IotHubConnectionStatus.DISCONNECTED && !wanted) new Thread(() -> reopen(opened)).start();
            if (change.getNewStatus() != IotHubConnectionStatus.CONNECTED) return;
            say("event", "connection");
            if (renewing) {
                renewing = false;
                say("event", "renewed");
            }
        }, null);
        if (client instanceof DeviceClient device) device.setMessageCallback((message, context) -> received(message), null);
        if (client instanceof ModuleClient module) module.setMessageCallback((message, context) -> received(message), null);
        client.open(true);
    }

    /** The SDK gives up when the workload API is away for a moment; opening again is left to the program. */
    void reopen(InternalClient lost) {
        say("event", "given up");
        for (int tries = 0; tries < 50; tries++) {
            try {
                Thread.sleep(500);
                lost.close();
                lost.open(true);
                watch();
                return;
            } catch (Exception error) {
                System.err.println(error);
            }
        }
    }

    void watch() throws Exception {
        client.subscribeToDesiredProperties((changed, context) -> say("event", "desired", "patch", changed.getDesiredProperties()), null);
        client.subscribeToMethods((name, payload, context) -> {
            JsonElement asked = payload.getPayload(JsonElement.class);
            say("event", "method", "name", name, "payload", asked);
            JsonObject echo = new JsonObject();
            echo.add("echo", asked);
            return new DirectMethodResponse(200, echo);
        }, null);
    }

    static IotHubMessageResult received(Message message) {
        Map<String, String> properties = new LinkedHashMap<>();
        for (MessageProperty property : message.getProperties()) properties.put(property.getName(), property.getValue());
        String body = new String(message.getBytes(), StandardCharsets.UTF_8);
        boolean input = message.getInputName() != null;
        say("event", input ? "input" : "message", "input", message.getInputName(), "body", body, "properties", properties,
            "id", message.getMessageId(), "correlation", message.getCorrelationId());
        return IotHubMessageResult.COMPLETE;
    }

    void send(JsonObject line) throws Exception {
        Message message = new Message(line.get("body").getAsString());
        message.setMessageId(line.get("id").getAsString());
        message.setCorrelationId(line.get("correlation").getAsString());
        message.setContentType("application/json");
        message.setContentEncoding("utf-8");
        line.getAsJsonObject("properties").entrySet().forEach(entry -> message.setProperty(entry.getKey(), entry.getValue().getAsString()));
        if (line.has("output")) message.setOutputName(line.get("output").getAsString());
        client.sendEvent(message);
    }

    /** Asks where to, puts one block blob, says that it is done. */
    void upload(String name, String content) throws Exception {
        DeviceClient device = (DeviceClient) client;
        var place = device.getFileUploadSasUri(new FileUploadSasUriRequest(name));
        HttpRequest put = HttpRequest.newBuilder(place.getBlobUri()).header("x-ms-blob-type", "BlockBlob")
            .PUT(HttpRequest.BodyPublishers.ofString(content)).build();
        HttpResponse<String> answer = HttpClient.newBuilder().sslContext(trust).build().send(put, HttpResponse.BodyHandlers.ofString());
        if (answer.statusCode() != 201) throw new IOException(answer.statusCode() + " " + answer.body());
        device.completeFileUpload(new FileUploadCompletionNotification(place.getCorrelationId(), true));
    }

    /** How the SDK reaches the workload API; it leaves the socket to the program. */
    static class WorkloadSocket implements UnixDomainSocketChannel {
        private SocketChannel channel;

        public void open(String address) throws IOException {
            channel = SocketChannel.open(StandardProtocolFamily.UNIX);
            channel.connect(UnixDomainSocketAddress.of(address));
        }

        public void write(byte[] output) throws IOException {
            ByteBuffer buffer = ByteBuffer.wrap(output);
            while (buffer.hasRemaining()) channel.write(buffer);
        }

        public int read(byte[] input) throws IOException {
            return channel.read(ByteBuffer.wrap(input));
        }

        public void close() throws IOException {
            channel.close();
        }
    }
}
