/** `hawser agent --publish-listening`: real servers in a guest, and clients on the host. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { LAB, systemSuite } from '../support/requirements.ts';
import type { Daemon } from './support/daemon.ts';
import { type Guest, Lab } from './support/lab.ts';
import { type Background, succeed } from './support/processes.ts';
import { published as publishedBy } from './support/published.ts';
import { until } from './support/until.ts';

const MUX_PORT = 4099;
const AGENT = fileURLToPath(new URL('../../hawser-agent.mjs', import.meta.url));
const MAIN = fileURLToPath(new URL('../../bin/hawser.js', import.meta.url));
const Waiting = z.object({
  waiting: z.array(z.object({ hostAddress: z.string(), hostPort: z.number(), code: z.string() })),
  ports: z.array(z.object({ id: z.string() })),
});

/** HTTP that says its name, at `address`. */
const NODE = `require('http').createServer((q, r) => r.end('node\\n')).listen({ port: +process.argv[1], host: process.argv[2], ipv6Only: process.argv[3] === 'only' }, () => console.log('listening'))`;
/** As Java does: a socket of IPv6 that is bound to an address of IPv4. */
const DUAL = `
import socket, sys
s = socket.socket(socket.AF_INET6); s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((sys.argv[2], int(sys.argv[1]))); s.listen(); print('listening', flush=True)
while True:
  c, _ = s.accept(); c.recv(4096); c.sendall(b'HTTP/1.0 200 OK\\r\\n\\r\\ndual\\n'); c.close()
`;
/** HTTP of the JDK on every address, and on the loopback. */
const JAVA = `import com.sun.net.httpserver.HttpServer;
import java.net.*;
public class Serve {
  static void serve(InetSocketAddress at) throws Exception {
    HttpServer server = HttpServer.create(at, 0);
    server.createContext("/", (e) -> {
      e.sendResponseHeaders(200, 5);
      e.getResponseBody().write("java\\n".getBytes());
      e.close();
    });
    server.start();
  }
  public static void main(String[] args) throws Exception {
    serve(new InetSocketAddress(Integer.parseInt(args[0])));
    serve(new InetSocketAddress(InetAddress.getByName("127.0.0.1"), Integer.parseInt(args[1])));
  }
}
`;
/** Listens for so many ms, so many times. */
const GHOST = `
import socket, sys, time
for i in range(int(sys.argv[3])):
  s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
  s.bind(('127.0.0.1', int(sys.argv[1]) + i)); s.listen(); time.sleep(int(sys.argv[2]) / 1000); s.close(); time.sleep(0.03)
print('over', flush=True)
`;
const MANY = `
import socket, sys, time
all = []
for i in range(int(sys.argv[2])):
  s = socket.socket(); s.bind(('127.0.0.1', int(sys.argv[1]) + i)); s.listen(); all.append(s)
print('listening', flush=True); time.sleep(600)
`;

/** Other tests keep the machine busy. */
const PATIENCE_MS = 50_000;

systemSuite(
  'agent --publish-listening',
  [...LAB, 'curl', 'nc', 'python3', 'gcc', 'containerd', 'java'],
  function () {
    this.timeout(120_000);
    let lab: Lab;
    let guest: Guest;
    let daemon: Daemon;
    let agent: Background;
    const started: Background[] = [];

    const startAgent = async (...rules: readonly string[]): Promise<void> => {
      const listen = ['--listen', `tcp:0.0.0.0:${MUX_PORT}`];
      agent = guest.start([process.execPath, AGENT, ...listen, '--publish-listening', ...rules]);
      await agent.prints(/multiplexer up/);
    };

    before(async () => {
      lab = await Lab.open();
      const api = ['--guest-api', 'on', '--mux', `guest:${MUX_PORT}`];
      ({ guest, daemon } = await lab.standard(api));
      await startAgent('no:4444,udp:5300,*');
    });
    after(() => lab.close());
    afterEach(async () => {
      for (const one of started.splice(0)) await one.stop();
      assert.ok(daemon.isRunning, daemon.stderr);
      assert.ok(agent.isRunning, agent.stderr);
      await becomes([]);
    });

    const published = (): Promise<string[]> => publishedBy(daemon, 'mux');
    const view = async (): Promise<z.infer<typeof Waiting>> =>
      Waiting.parse(JSON.parse(await daemon.request('/v1/ports')));
    const becomes = async (expected: readonly string[]): Promise<void> => {
      const isThere = async (): Promise<boolean> => (await published()).join() === expected.join();
      await until(`ports ${expected.join(', ')}`, isThere, PATIENCE_MS);
    };
    const shownPorts = (): Promise<string> =>
      lab.host.run('env', `XDG_RUNTIME_DIR=${lab.dir}`, process.execPath, MAIN, 'ports');
    const serve = async (argv: readonly string[]): Promise<Background> => {
      const server = guest.start(argv);
      started.push(server);
      await server.prints(/listening|Serving/);
      return server;
    };
    const node = (port: number, host: string, more = ''): Promise<Background> =>
      serve([process.execPath, '-e', NODE, `${port}`, host, more]);
    const get = (host: string, port: number): Promise<string> =>
      lab.host.run('curl', '-sS', '-m', '5', `http://${host}:${port}/`);

    it('nc on the loopback of the guest', async () => {
      const argv = ['sh', '-c', 'echo from nc | nc -l -N 127.0.0.1 8101'];
      started.push(guest.start(argv));
      await becomes(['127.0.0.1 8101/tcp']);
      const { stdout } = await lab.host.try('sh', '-c', 'nc -d 127.0.0.1 8101');
      assert.equal(stdout, 'from nc\n');
    });

    it('node on every address: both loopbacks of the host', async () => {
      const server = await node(8102, '::');
      await becomes(['127.0.0.1 8102/tcp', '::1 8102/tcp']);
      assert.equal(await get('127.0.0.1', 8102), 'node\n');
      assert.equal(await get('[::1]', 8102), 'node\n');
      await server.stop();
      await becomes([]);
    });

    it('Go on every address: both loopbacks of the host', async () => {
      const config = lab.path('containerd.toml');
      const address = '\n[metrics]\n  address = ":8117"\n';
      writeFileSync(
        config,
        `version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n${address}`,
      );
      const places = ['--root', lab.path('root'), '--state', lab.path('state')];
      const argv = ['--config', config, ...places, '--address', lab.path('containerd.sock')];
      started.push(guest.start(['containerd', ...argv]));
      await becomes(['127.0.0.1 8117/tcp', '::1 8117/tcp']);
      for (const host of ['127.0.0.1', '[::1]']) {
        const metrics = await lab.host.run('curl', '-sS', `http://${host}:8117/v1/metrics`);
        assert.match(metrics, /^go_goroutines /m);
      }
    });

    it('of IPv6 alone: ::1 alone', async () => {
      await node(8103, '::', 'only');
      await becomes(['::1 8103/tcp']);
      assert.equal(await get('[::1]', 8103), 'node\n');
    });

    it('python on every address of IPv4', async () => {
      await serve(['python3', '-u', '-m', 'http.server', '--directory', '/proc/self/net', '8104']);
      await becomes(['127.0.0.1 8104/tcp']);
      assert.match(await get('127.0.0.1', 8104), /Directory listing/);
    });

    it('as Java does: every address, and one of IPv4, by a socket of IPv6', async () => {
      await serve(['python3', '-c', DUAL, '8105', '::']);
      await serve(['python3', '-c', DUAL, '8106', '::ffff:127.0.0.1']);
      await becomes(['127.0.0.1 8105/tcp', '127.0.0.1 8106/tcp', '::1 8105/tcp']);
      assert.equal(await get('127.0.0.1', 8105), 'dual\n');
      assert.equal(await get('[::1]', 8105), 'dual\n');
      assert.equal(await get('127.0.0.1', 8106), 'dual\n');
    });

    it("another loopback keeps its address; the guest's own address is the loopback", async () => {
      await node(8107, '127.0.0.53');
      await node(8108, guestAddress());
      await becomes(['127.0.0.1 8108/tcp', '127.0.0.53 8107/tcp']);
      assert.equal(await get('127.0.0.53', 8107), 'node\n');
      assert.equal(await get('127.0.0.1', 8108), 'node\n');
    });

    const guestAddress = (): string => '192.168.127.2';

    it('Java on every address, and on its loopback: sockets of IPv6', async () => {
      const source = lab.path('Serve.java');
      writeFileSync(source, JAVA);
      const server = guest.start(['java', '-Xshare:auto', source, '8119', '8120']);
      started.push(server);
      await becomes(['127.0.0.1 8119/tcp', '127.0.0.1 8120/tcp', '::1 8119/tcp']);
      for (const [host, port] of [
        ['127.0.0.1', 8119],
        ['[::1]', 8119],
        ['127.0.0.1', 8120],
      ] as const) {
        assert.equal(await get(host, port), 'java\n');
      }
    });

    it('two sockets share a port, which goes with the last', async () => {
      const first = await node(8109, '127.0.0.1');
      await node(8109, guestAddress());
      await becomes(['127.0.0.1 8109/tcp']);
      await first.stop();
      await until('the other server', async () => (await get('127.0.0.1', 8109)) === 'node\n');
      assert.deepEqual(await published(), ['127.0.0.1 8109/tcp']);
    });

    it('a listener that is there for an instant never appears', async () => {
      await node(8110, '127.0.0.1');
      await becomes(['127.0.0.1 8110/tcp']);
      const [before] = (await view()).ports;
      const ghosts = guest.start(['python3', '-c', GHOST, '8200', '20', '40']);
      await ghosts.prints(/over/);
      await node(8111, '127.0.0.1');
      await becomes(['127.0.0.1 8110/tcp', '127.0.0.1 8111/tcp']);
      const ids = (await view()).ports.map(({ id }) => Number(id));
      assert.deepEqual(ids, [Number(before?.id), Number(before?.id) + 1]);
    });

    it('rules leave out, UDP comes on wish alone', async () => {
      await node(4444, '127.0.0.1');
      const udp = `require('dgram').createSocket('udp4').on('message', function (m, f) { this.send(m, f.port, f.address) }).bind(+process.argv[1], '127.0.0.1', () => console.log('listening'))`;
      await serve([process.execPath, '-e', udp, '5300']);
      await serve([process.execPath, '-e', udp, '5301']);
      await becomes(['127.0.0.1 5300/udp']);
      await until('the datagram to come back', async () => {
        const script = 'echo ping | nc -u -w 1 127.0.0.1 5300';
        return (await lab.host.run('sh', '-c', script)) === 'ping\n';
      });
    });

    it('a thousand at once', async () => {
      const many = await serve(['python3', '-c', MANY, '20000', '1000']);
      const isThere = async (): Promise<boolean> => (await published()).length === 1_000;
      await until('a thousand ports', isThere, PATIENCE_MS);
      await many.stop();
      await becomes([]);
    });

    it('a port that the host has: it waits, is shown, and comes when it is free', async () => {
      const on = lab.host.start([process.execPath, '-e', NODE, '8112', '127.0.0.1']);
      await on.prints(/listening/);
      await node(8112, '::');
      await until('both to wait', async () => (await view()).waiting.length === 2);
      const shown = await shownPorts();
      assert.match(shown, /^WAITING /m);
      assert.match(shown, /127\.0\.0\.1:8112\/tcp .*agent guest:4099/);
      assert.equal(await get('127.0.0.1', 8112), 'node\n');
      await on.stop();
      await becomes(['127.0.0.1 8112/tcp', '::1 8112/tcp']);
    });

    it('ports below 1024 are one quiet line', async () => {
      await node(80, '127.0.0.1');
      await node(22, '127.0.0.1');
      await until('both to wait', async () => (await view()).waiting.length === 2);
      const shown = await shownPorts();
      assert.match(shown, /^Not published, as is usual: 22, 80$/m);
    });

    it('a filter lets clients of one family wait for ever: the other is dialled', async () => {
      const dropAll = lab.path('drop-all');
      await succeed(['gcc', '-O2', '-o', dropAll, 'test/system/support/drop-all.c']);
      const mute = await node(8113, '127.0.0.1');
      await node(8113, '::1');
      const pid = (await guest.run('ss', '-Htlnp', 'sport', '=', '8113', 'src', '127.0.0.1')).match(
        /pid=(\d+)/,
      )?.[1];
      assert.equal(await succeed([dropAll, `${pid}`, '8113']), '1\n');
      await becomes(['127.0.0.1 8113/tcp', '::1 8113/tcp']);
      const begun = performance.now();
      assert.equal(await get('127.0.0.1', 8113), 'node\n');
      assert.ok(performance.now() - begun > 900, 'IPv4 was dialled first');
      assert.equal(await get('[::1]', 8113), 'node\n');
      assert.ok(mute.isRunning);
    });

    it('an agent that is stopped: clients are reset, and served when it goes on', async () => {
      await node(8118, '127.0.0.1');
      await becomes(['127.0.0.1 8118/tcp']);
      process.kill(agent.pid, 'SIGSTOP');
      try {
        const began = performance.now();
        const { stderr } = await lab.host.try('curl', '-sS', '-m', '30', 'http://127.0.0.1:8118/');
        assert.match(stderr, /reset by peer/i);
        const seconds = (performance.now() - began) / 1000;
        assert.ok(seconds > 5 && seconds < 15, `${seconds} s`);
      } finally {
        process.kill(agent.pid, 'SIGCONT');
      }
      assert.equal(await get('127.0.0.1', 8118), 'node\n');
    });

    it('when the agent goes, so do its ports; when it comes again, they do', async () => {
      await node(8114, '127.0.0.1');
      await becomes(['127.0.0.1 8114/tcp']);
      await agent.stop();
      await becomes([]);
      await startAgent('*');
      await becomes(['127.0.0.1 8114/tcp']);
      assert.equal(await get('127.0.0.1', 8114), 'node\n');
    });

    it('without rules nothing appears', async () => {
      await agent.stop();
      await startAgent('');
      await node(8115, '127.0.0.1');
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      assert.deepEqual(await published(), []);
    });
  },
);
