import assert from 'node:assert/strict';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { Pair, readAll, turns } from '../../cli/agent/pair.ts';

const PORT = 52;

/** Firecracker's end of a vsock: the guest's listeners are Unix sockets here. */
class FakeFirecracker {
  readonly greetings: string[] = [];
  answer = 'OK 1073741824\n';
  private readonly server: Server;
  private readonly sockets: Socket[] = [];

  constructor(path: string, guestPath: string) {
    this.server = createServer((socket) => {
      this.sockets.push(socket);
      socket.on('error', () => {});
      socket.once('data', (greeting) => {
        this.greetings.push(greeting.toString());
        if (this.answer === '') {
          socket.destroy(); // nobody listens in the guest
          return;
        }
        const guest = connect(guestPath);
        this.sockets.push(guest);
        guest.on('error', () => socket.destroy());
        // The answer and the guest's first bytes may come in one read.
        guest.once('data', (first) => {
          socket.write(Buffer.concat([Buffer.from(this.answer), first]));
          guest.pipe(socket);
        });
        guest.once('connect', () => socket.pipe(guest));
      });
    });
    this.server.listen(path);
  }

  close(): void {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
  }
}

describe('hybrid vsock', () => {
  let pair: Pair;
  let vm: FakeFirecracker;
  beforeEach(() => {
    pair = new Pair();
    vm = new FakeFirecracker(pair.path('fc'), pair.path('guest'));
  });
  afterEach(async () => {
    vm.close();
    await pair.close();
  });

  async function transfer(): Promise<void> {
    const guestPort = await pair.serve((socket) => socket.pipe(socket));
    const port = await pair.publish({ kind: 'port', address: undefined, port: guestPort });
    const client = pair.client(port);
    client.end('through the vm');
    assert.equal((await readAll(client)).toString(), 'through the vm');
  }

  it('says CONNECT, takes OK, and loses no byte that came with it', async () => {
    await pair.startAgent('--listen', `unix:${pair.path('guest')}`);
    await pair.startHost([`hybrid-vsock:${pair.path('fc')}:${PORT}`]);
    await pair.ready();
    assert.deepEqual(vm.greetings, [`CONNECT ${PORT}\n`]);
    await transfer();
  });

  it('dials again until the guest listens', async () => {
    vm.answer = '';
    const host = await pair.startHost([`hybrid-vsock:${pair.path('fc')}:${PORT}`]);
    await turns('a refusal', () => /no listener/.test(host.view()[0]?.problem ?? ''));
    vm.answer = 'OK 1\n';
    await pair.startAgent('--listen', `unix:${pair.path('guest')}`);
    await pair.ready();
    await transfer();
  });

  it('reports an invalid answer', async () => {
    vm.answer = 'NO WAY\n';
    await pair.startAgent('--listen', `unix:${pair.path('guest')}`);
    const host = await pair.startHost([`hybrid-vsock:${pair.path('fc')}:${PORT}`]);
    await turns('the problem', () =>
      /unexpected answer "NO WAY"/.test(host.view()[0]?.problem ?? ''),
    );
  });

  it('takes connections that the guest begins', async () => {
    vm.answer = '';
    await pair.startHost([`hybrid-vsock:${pair.path('fc')}:${PORT}`]);
    await pair.startAgent('--connect', `unix:${pair.path(`fc_${PORT}`)}`);
    await pair.ready();
    await transfer();
  });

  it('a VM that ends is reported, and dialled again', async () => {
    await pair.startAgent('--listen', `unix:${pair.path('guest')}`);
    await pair.startHost([`hybrid-vsock:${pair.path('fc')}:${PORT}`]);
    await pair.ready();
    vm.close();
    await turns('the fall', () => pair.host?.view()[0]?.state === 'connecting');
    vm = new FakeFirecracker(pair.path('fc'), pair.path('guest'));
    await pair.ready();
    await transfer();
  });
});
