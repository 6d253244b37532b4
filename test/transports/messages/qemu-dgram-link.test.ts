import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { QemuDgramLink } from '../../../src/transports/messages/qemu-dgram-link.ts';
import { contextFor, RecordingAcceptor } from '../recorder.ts';
import { frameOf, MessageClient, until } from './message-client.ts';

describe('transports/messages/qemu-dgram-link', () => {
  let dir: string;
  let local: string;
  let remote: string;
  let acceptor: RecordingAcceptor;
  let link: QemuDgramLink;
  let qemu: MessageClient | undefined;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-dgram-'));
    local = join(dir, 'hawser.sock');
    remote = join(dir, 'qemu.sock');
    acceptor = new RecordingAcceptor();
    qemu = undefined;
  });
  afterEach(async () => {
    qemu?.close();
    await link.close();
    rmSync(dir, { recursive: true });
  });
  const open = async (): Promise<void> => {
    link = await QemuDgramLink.open(local, remote, contextFor(acceptor));
  };
  /** As QEMU does: it removes what is at its path. */
  const startQemu = (): MessageClient => {
    rmSync(remote, { force: true });
    qemu = MessageClient.datagrams(remote);
    return qemu;
  };

  it('is up at once when QEMU is there already, and moves frames both ways', async () => {
    const machine = startQemu();
    await open();
    const recorded = await acceptor.link(0);
    recorded.send(frameOf(1, 1500));
    recorded.writer.flush();
    assert.deepEqual(await machine.next(), frameOf(1, 1500));
    assert.equal(machine.sendTo(local, frameOf(2)), 'ok');
    await recorded.until(() => recorded.frames.length === 1);
    assert.equal(recorded.name, `qemu-dgram:${local},${remote}#1`);
  });

  it('comes up when QEMU starts, and with its first frame', async () => {
    await open();
    assert.equal(acceptor.links.length, 0);
    startQemu().sendTo(local, frameOf(2));
    const recorded = await acceptor.link(0);
    await recorded.until(() => recorded.frames.length === 1);
    assert.deepEqual(recorded.frames[0]?.bytes, frameOf(2));
  });

  it('takes more frames than the kernel queues for strangers', async () => {
    const machine = startQemu();
    await open();
    const recorded = await acceptor.link(0);
    for (let i = 0; i < 50; i++) assert.equal(machine.sendTo(local, frameOf(i)), 'ok');
    await recorded.until(() => recorded.frames.length === 50);
  });

  it('gives QEMU more frames than its socket queues', async () => {
    const machine = startQemu();
    await open();
    const recorded = await acceptor.link(0);
    for (let i = 0; i < 100; i++) assert.ok(recorded.send(frameOf(i)));
    recorded.writer.flush();
    for (let i = 0; i < 100; i++) assert.deepEqual(await machine.next(), frameOf(i));
  });

  it('goes down with QEMU, and up with the next', async () => {
    startQemu();
    await open();
    const first = await acceptor.link(0);
    qemu?.close();
    await first.until(() => first.downs === 1);
    const machine = startQemu();
    const second = await acceptor.link(1);
    second.send(frameOf(4));
    second.writer.flush();
    assert.deepEqual(await machine.next(), frameOf(4));
  });

  it('another socket at the path is another machine', async () => {
    startQemu();
    await open();
    const first = await acceptor.link(0);
    const before = qemu;
    const machine = startQemu();
    before?.close();
    await first.until(() => first.downs === 1);
    const second = await acceptor.link(1);
    machine.sendTo(local, frameOf(5));
    await second.until(() => second.frames.length === 1);
    assert.deepEqual([link.stats.linksOpen, link.stats.linksOpened], [1, 2]);
  });

  it('drops and counts the frames of others while QEMU is not there', async () => {
    await open();
    const other = MessageClient.datagrams(join(dir, 'other'));
    other.sendTo(local, frameOf(1));
    await until(() => link.stats.drops.get('foreign-sender') === 1);
    other.close();
    assert.equal(acceptor.links.length, 0);
  });

  it('its socket is removed at the end, and QEMU’s is not', async () => {
    startQemu();
    await open();
    await acceptor.link(0);
    await link.close();
    assert.deepEqual([existsSync(local), existsSync(remote)], [false, true]);
  });
});
