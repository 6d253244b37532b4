/**
 * In the guest: `load.js listeners COUNT` and `load.js clients LISTENERS CONNECTIONS` hold so many; `load.js binds RATE
 * LIVES_MS` listens so often a second, each time for so long.
 */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

const [, , what, first = '0', second = '0'] = process.argv;
/** All below those that the kernel gives to clients. */
const CROWD_PORT = 9_000;
const BINDS_PORT = 3_000;
const PORTS_OF_BINDS = 5_000;
const AT_ONCE = 100;

if (what === 'listeners') {
  for (let i = 0; i < Number(first); i++) {
    const server = createServer();
    server.listen({ port: CROWD_PORT + i, host: '127.0.0.1', backlog: 1024 });
    await once(server, 'listening');
  }
} else if (what === 'clients') {
  for (let i = 0; i < Number(second); i += AT_ONCE) {
    const connected = Array.from({ length: AT_ONCE }, (_, j) => {
      const port = CROWD_PORT + ((i + j) % Number(first));
      return once(connect(port, '127.0.0.1'), 'connect');
    });
    await Promise.all(connected);
  }
} else {
  let port = 0;
  const listen = (): void => {
    const server = createServer();
    server.on('error', () => {});
    server.listen(BINDS_PORT + (port++ % PORTS_OF_BINDS), '127.0.0.1', () => {
      setTimeout(() => server.close(), Number(second));
    });
  };
  setInterval(listen, 1_000 / Number(first));
}
process.stdout.write('ready\n');
