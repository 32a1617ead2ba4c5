// What shop.jfr.gz was recorded of, by OpenJDK 17:
//   javac Shop.java
//   java -cp . -XX:StartFlightRecording=filename=shop.jfr,settings=shop.jfc Shop
// where shop.jfc enables jdk.ExecutionSample (period 20 ms),
// jdk.ObjectAllocationSample (throttle 20/s, stackTrace) and
// jdk.JavaMonitorEnter (threshold 1 ms, stackTrace), and nothing else.
import java.util.*;
public class Shop {
  static volatile long sink; static final Object lock = new Object();
  static void pay(long until) { Random r = new Random(1); while (System.nanoTime() < until) { byte[] b = new byte[r.nextInt(4096)]; sink += b.length + fib(18); synchronized (lock) { sink++; } } }
  static int fib(int n) { return n < 2 ? n : fib(n-1) + fib(n-2); }
  public static void main(String[] a) throws Exception {
    long until = System.nanoTime() + 3_000_000_000L;
    Thread t = new Thread(() -> { while (System.nanoTime() < until) { synchronized (lock) { try { Thread.sleep(15); } catch (Exception e) {} } } }, "locker"); t.start();
    pay(until); t.join();
  }
}
