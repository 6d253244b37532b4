/**
 * A stand-in for a rootless dockerd of Engine 28: root of a user namespace, whose proxy it starts by nsenter in the
 * network namespace of its containers, with the socket to serve as descriptor 4. Prints what came of it as JSON.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';

export interface Outcome {
  readonly status: string;
  /** The name of the process that serves, as dockerd watches it. */
  readonly comm: string;
  readonly hello: string;
  /** Whether the port could be bound again as soon as the proxy had ended. */
  readonly isFree: boolean;
}

const STATUS_FD = 3;
const [shell = ''] = process.argv.slice(2);

const listen = async (port: number): Promise<Server> => {
  const server = createServer((socket) => socket.end('hello')).listen(port, '127.0.0.1');
  await once(server, 'listening');
  return server;
};
const portOf = (server: Server): number => {
  const at = server.address();
  return typeof at === 'object' && at !== null ? at.port : 0;
};

const container = await listen(0);
const listener = await listen(0);
const port = portOf(listener);
const fd: unknown = Reflect.get(Object(Reflect.get(listener, '_handle')), 'fd');
const proxy = spawn(
  'nsenter',
  [
    ...['--net=/proc/self/ns/net', '-F', '--', shell, '-proto', 'tcp', '-host-ip', '127.0.0.1'],
    ...['-host-port', `${port}`, '-container-ip', '127.0.0.1'],
    ...['-container-port', `${portOf(container)}`, '-use-listen-fd'],
  ],
  { stdio: ['ignore', 'ignore', 'inherit', 'pipe', typeof fd === 'number' ? fd : 'ignore'] },
);
const pipe = proxy.stdio[STATUS_FD];
const [status] = pipe === null || pipe === undefined ? [''] : await once(pipe, 'data');
listener.close();
const client = connect(port, '127.0.0.1');
const [hello] = await once(client, 'data');
client.destroy();
const comm = readFileSync(`/proc/${proxy.pid}/comm`, 'utf8').trim();
proxy.kill('SIGINT');
await once(proxy, 'exit');
const isFree = await listen(port).then(
  () => true,
  () => false,
);
const outcome: Outcome = { status: String(status), comm, hello: String(hello), isFree };
process.stdout.write(JSON.stringify(outcome), () => process.exit(0));
