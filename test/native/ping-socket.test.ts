import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { IP_TTL, SOL_IP } from '../../src/native/constants.ts';
import { loadPosix } from '../../src/native/load.ts';
import { describeNeeding, NAMESPACES } from '../support/requirements.ts';
import { Namespace } from './namespace.ts';

const ECHO = Buffer.from('0800000000000007abcdef', 'hex');

/** A ping socket of the namespace, driven by Node's own datagram socket. */
async function pingSocket(net: Namespace): Promise<{ fd: number; socket: Socket }> {
  const posix = loadPosix();
  const fd = posix.inNetns(net.name, () => posix.openPingSocket(4));
  posix.enableErrorQueue(fd, 4);
  const socket = createSocket('udp4');
  const listening = once(socket, 'listening'); // for a descriptor it comes before bind returns
  socket.bind({ fd });
  await listening;
  return { fd, socket };
}

describeNeeding('native/ping socket', [...NAMESPACES, 'sysctl'], () => {
  let inner: Namespace;
  let router: Namespace;
  before(async () => {
    inner = new Namespace();
    router = new Namespace();
    inner.ip(`link add v0 type veth peer name v1 netns ${router.name}`);
    inner.ip('addr add 10.9.0.2/24 dev v0');
    inner.ip('link set v0 up');
    router.ip('addr add 10.9.0.1/24 dev v1');
    router.ip('addr add 10.9.1.1/24 dev lo');
    router.ip('link set v1 up');
    router.ip('route add 10.9.2.0/24 via 10.9.0.2');
    inner.ip('route add default via 10.9.0.1');
    await inner.run('sysctl -qw net.ipv4.ping_group_range="0 0"');
    await router.run('sysctl -qw net.ipv4.ip_forward=1');
  });
  after(() => {
    inner.remove();
    router.remove();
  });

  it('is refused, with advice, where our group may not', () => {
    const posix = loadPosix();
    assert.throws(() => posix.inNetns(router.name, () => posix.openPingSocket(4)), {
      code: 'EACCES',
      message: /ping_group_range/,
    });
  });

  it('pings through a Node datagram socket', async () => {
    const { socket } = await pingSocket(inner);
    const reply = once(socket, 'message');
    socket.send(ECHO, 1, '10.9.0.1');
    const [bytes, from]: [Buffer, { address: string }] = await firstMessage(reply);
    assert.equal(from.address, '10.9.0.1');
    assert.equal(bytes[0], 0);
    assert.equal(bytes.toString('hex', 6), '0007abcdef');
    socket.close();
  });

  it('learns from the error queue which router let the echo die, and goes on', async () => {
    const posix = loadPosix();
    const { fd, socket } = await pingSocket(inner);
    posix.setSocketOption(fd, SOL_IP, IP_TTL, 1);
    const failed = once(socket, 'error');
    socket.send(ECHO, 1, '10.9.2.2');
    await failed;
    const error = posix.readErrorQueue(fd);
    assert.ok(error);
    assert.deepEqual([error.origin, error.icmpType, error.icmpCode], ['icmp', 11, 0]);
    assert.equal(error.offender?.toString(), '10.9.0.1');
    assert.equal(error.destination?.toString(), '10.9.2.2');
    assert.equal(Buffer.from(error.payload).toString('hex', 6), '0007abcdef');
    const reply = once(socket, 'message');
    socket.send(ECHO, 1, '10.9.0.1');
    await firstMessage(reply);
    socket.close();
  });
});

async function firstMessage(event: Promise<unknown[]>): Promise<[Buffer, { address: string }]> {
  const [bytes, from] = await event;
  assert.ok(bytes instanceof Buffer && typeof from === 'object' && from !== null);
  assert.ok('address' in from && typeof from.address === 'string');
  return [bytes, { address: from.address }];
}
