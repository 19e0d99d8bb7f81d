import java.io.File;
import java.io.Reader;
import java.net.InetSocketAddress;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import org.apache.druid.cli.GuiceRunnable;
import org.apache.druid.guice.StartupInjectorBuilder;
import org.apache.zookeeper.server.NIOServerCnxnFactory;
import org.apache.zookeeper.server.ZooKeeperServer;

/**
 * All services of Druid, and the ZooKeeper by which they find each other, in one process:
 * java DruidNode ADDRESS PORT FOLDER broker.properties...
 *
 * ZooKeeper listens at ADDRESS and PORT and keeps its files in FOLDER. Each file of properties is one service, whose
 * name is the file's. When one service ends, for whatever reason, all do.
 */
public final class DruidNode {
    private static final int TICK_MS = 500;
    private static final int CONNECTIONS_MAX = 100;

    private DruidNode() {}

    public static void main(String[] arguments) throws Exception {
        InetSocketAddress address = new InetSocketAddress(arguments[0], Integer.parseInt(arguments[1]));
        File folder = Files.createDirectories(Path.of(arguments[2])).toFile();
        NIOServerCnxnFactory connections = new NIOServerCnxnFactory();
        connections.configure(address, CONNECTIONS_MAX);
        connections.startup(new ZooKeeperServer(folder, folder, TICK_MS));
        URL[] classes = classPath();
        for (int place = 3; place < arguments.length; place++) {
            begin(classes, Path.of(arguments[place]));
        }
    }

    /** Services share static fields that each wants for itself, so each has classes of its own. */
    private static void begin(URL[] classes, Path file) throws Exception {
        ClassLoader loader = new URLClassLoader(classes, ClassLoader.getPlatformClassLoader());
        Runnable service = (Runnable) loader.loadClass("DruidNode$Service").getConstructor(Path.class).newInstance(file);
        Thread thread = new Thread(service, file.getFileName().toString());
        thread.setContextClassLoader(loader);
        thread.start();
    }

    private static URL[] classPath() throws Exception {
        List<URL> found = new ArrayList<>();
        for (String entry : System.getProperty("java.class.path").split(File.pathSeparator)) {
            found.add(Path.of(entry).toUri().toURL());
        }
        return found.toArray(new URL[0]);
    }

    /** One service, by the class that Druid's own command line would run for it. */
    public static final class Service implements Runnable {
        private final Path file;

        public Service(Path file) {
            this.file = file;
        }

        @Override
        public void run() {
            try {
                String name = file.getFileName().toString().replace(".properties", "");
                Class<?> type = Class.forName("org.apache.druid.cli.Cli" + capital(name));
                GuiceRunnable service = (GuiceRunnable) type.getDeclaredConstructor().newInstance();
                injector().injectMembers(service);
                service.run();
            } catch (Throwable failure) {
                failure.printStackTrace();
            }
            Runtime.getRuntime().halt(1);
        }

        private com.google.inject.Injector injector() throws Exception {
            Properties own = new Properties();
            try (Reader text = Files.newBufferedReader(file)) {
                own.load(text);
            }
            return new StartupInjectorBuilder().withProperties(own).withExtensions().build();
        }

        private static String capital(String name) {
            return Character.toUpperCase(name.charAt(0)) + name.substring(1);
        }
    }
}
