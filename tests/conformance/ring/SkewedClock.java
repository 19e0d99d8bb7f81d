import org.apache.cassandra.utils.Clock;

/** The machine's clock, off by so many milliseconds: -Dcassandra.clock=SkewedClock -Dskew_ms=500. */
public final class SkewedClock implements Clock {
    private final long offMs = Long.getLong("skew_ms", 0);

    @Override
    public long nanoTime() {
        return System.nanoTime();
    }

    @Override
    public long currentTimeMillis() {
        return System.currentTimeMillis() + offMs;
    }
}
