import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.ServiceLoader;
import java.util.concurrent.CountDownLatch;
import org.opensearch.common.settings.Settings;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.painless.PainlessPlugin;
import org.opensearch.plugins.ExtensiblePlugin.ExtensionLoader;
import org.opensearch.plugins.Plugin;

/**
 * One node of OpenSearch whose plugins lie on the class path: java OpenSearchNode HOME setting=value...
 *
 * The distribution loads each plugin from a folder of its own; what Maven brings are plain jars.
 */
public final class OpenSearchNode extends Node {
    private static final List<String> PLUGINS = List.of(
        "transport.Netty4Plugin",
        "analysis.common.CommonAnalysisPlugin",
        "painless.PainlessPlugin",
        "index.mapper.MapperExtrasPlugin",
        "index.reindex.ReindexPlugin",
        "knn.plugin.KNNPlugin");

    private OpenSearchNode(Settings settings, Path home, List<Class<? extends Plugin>> plugins) {
        super(InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), home.resolve("config"), () -> "node"),
            plugins, false);
    }

    public static void main(String[] arguments) throws Exception {
        Settings.Builder settings = Settings.builder().put("path.home", arguments[0]);
        for (int place = 1; place < arguments.length; place++) {
            String[] pair = arguments[place].split("=", 2);
            settings.put(pair[0], pair[1]);
        }
        // Nobody loads the extensions of plugins on the class path: scripts learn what other plugins allow from here.
        new PainlessPlugin().loadExtensions(new ExtensionLoader() {
            @Override
            public <T> List<T> loadExtensions(Class<T> type) {
                List<T> found = new ArrayList<>();
                ServiceLoader.load(type).forEach(found::add);
                return found;
            }
        });
        Node node = new OpenSearchNode(settings.build(), Path.of(arguments[0]), plugins());
        CountDownLatch ended = new CountDownLatch(1);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                node.close();
            } catch (Exception failure) {
                failure.printStackTrace();
            }
            ended.countDown();
        }));
        node.start();
        ended.await();
    }

    private static List<Class<? extends Plugin>> plugins() throws ClassNotFoundException {
        List<Class<? extends Plugin>> found = new ArrayList<>();
        for (String name : PLUGINS) {
            found.add(Class.forName("org.opensearch." + name).asSubclass(Plugin.class));
        }
        return found;
    }
}
