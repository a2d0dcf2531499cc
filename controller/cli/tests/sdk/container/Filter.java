// A module as people write it for Azure IoT Edge with the SDK for Java: passes on what is above a threshold of its twin.
// Run as it is: `java -cp '/app/jars/*' /app/Filter.java`.

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.microsoft.azure.sdk.iot.device.IotHubClientProtocol;
import com.microsoft.azure.sdk.iot.device.IotHubMessageResult;
import com.microsoft.azure.sdk.iot.device.Message;
import com.microsoft.azure.sdk.iot.device.ModuleClient;
import com.microsoft.azure.sdk.iot.device.exceptions.IotHubClientException;
import com.microsoft.azure.sdk.iot.device.hsm.UnixDomainSocketChannel;
import com.microsoft.azure.sdk.iot.device.transport.IotHubConnectionStatus;
import com.microsoft.azure.sdk.iot.device.twin.DirectMethodResponse;
import com.microsoft.azure.sdk.iot.device.twin.TwinCollection;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

public class Filter {
    static ModuleClient client;
    static volatile double threshold = Double.MAX_VALUE;

    public static void main(String[] arguments) throws Exception {
        client = ModuleClient.createFromEnvironment(new WorkloadSocket(), IotHubClientProtocol.MQTT);
        client.setConnectionStatusChangeCallback((change) -> {
            // The SDK gives up for good when the workload API is away for a moment; whoever runs the module starts it again.
            if (change.getNewStatus() == IotHubConnectionStatus.DISCONNECTED) Runtime.getRuntime().halt(1);
        }, null);
        client.setMessageCallback("readings", (message, context) -> received(message), null);
        client.open(true);
        client.subscribeToMethods((name, payload, context) -> {
            JsonObject echo = new JsonObject();
            echo.add("echo", payload.getPayload(JsonElement.class));
            return new DirectMethodResponse(200, echo);
        }, null);
        client.subscribeToDesiredProperties((twin, context) -> new Thread(() -> adopt(twin.getDesiredProperties())).start(), null);
        for (int tries = 0; tries < 10; tries++) {
            try {
                adopt(client.getTwin(3000).getDesiredProperties());
                break;
            } catch (IotHubClientException error) {
                // An answer can be lost between two threads of the SDK.
                System.err.println(error);
            }
        }
        System.out.println(System.getenv("GREETING"));
        Thread.currentThread().join();
    }

    static synchronized void adopt(TwinCollection desired) {
        if (!desired.containsKey("threshold")) return;
        threshold = ((Number) desired.get("threshold")).doubleValue();
        for (int tries = 0; tries < 10; tries++) {
            try {
                TwinCollection reported = new TwinCollection();
                reported.put("threshold", threshold);
                reported.put("user", Files.getAttribute(Path.of("/proc/self"), "unix:uid"));
                client.updateReportedProperties(reported, 3000);
                return;
            } catch (IotHubClientException | InterruptedException | IOException error) {
                System.err.println(error);
            }
        }
    }

    static IotHubMessageResult received(Message message) {
        JsonObject reading = JsonParser.parseString(new String(message.getBytes(), StandardCharsets.UTF_8)).getAsJsonObject();
        double celsius = reading.get("celsius").getAsDouble();
        if (celsius > threshold) {
            Message alert = new Message("{\"celsius\":" + celsius + ",\"above\":" + threshold + "}");
            alert.setContentType("application/json");
            alert.setContentEncoding("utf-8");
            alert.setProperty("kind", "alert");
            client.sendEventAsync(alert, (sent, error, context) -> {
                if (error != null) System.err.println(error);
            }, null, "alerts");
        }
        return IotHubMessageResult.COMPLETE;
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
