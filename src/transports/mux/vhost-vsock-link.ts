/**
 * The link through the VM's own vsock, whose device we serve to QEMU. The agent may listen on the port: it
 * is then dialled from the guest's start until it answers. Or it connects to the port at CID 2.
 */

import type { Log } from '../../base/log.ts';
import type { Clock, Instant } from '../../base/time.ts';
import type { Posix } from '../../native/posix.ts';
import type { MuxFlow } from '../../proxy/agent/mux-flow.ts';
import type { MuxPeers, PeerLink } from '../../proxy/agent/peers.ts';
import { NO_FLUSH } from '../../proxy/flush-scheduler.ts';
import type { Turns } from '../../proxy/turns.ts';
import type { MachineMemory } from '../vhost-user/machine-memory.ts';
import { VhostVsock } from '../vsock/open-vhost-vsock.ts';
import type { VsockRequest, VsockStream } from '../vsock/stream.ts';
import type { OpenMuxLink } from './mux-link.ts';
import { Redialer } from './redialer.ts';

export interface VhostVsockLinkContext {
  readonly peers: MuxPeers;
  readonly clock: Clock;
  readonly log: Log;
  readonly turns: Turns;
  readonly posix: (wanted: string, instead: string) => Posix;
  readonly socketMode: number;
  readonly vhostMemory: MachineMemory;
}

export async function openVhostVsockLink(
  link: PeerLink,
  path: string,
  port: number,
  context: VhostVsockLinkContext,
): Promise<OpenMuxLink> {
  const { peers, clock, log, turns, posix, socketMode, vhostMemory } = context;
  const isHere = (): boolean => peers.list().some((peer) => peer.link === link);
  const dialled = new Redialer(link, log, (attempt) => {
    if (isHere()) {
      attempt.onFailed('the agent connected');
      return undefined;
    }
    const dial = (handler: MuxFlow): VsockStream | undefined => device.connect(port, handler);
    const peer = peers.addFlow({
      link,
      role: 'connector',
      flusher: NO_FLUSH,
      dial,
      isOpen: false,
      onEnd: attempt.onEnd,
    });
    if (peer === undefined) attempt.onFailed('no guest is connected');
    else attempt.onConnected();
    return undefined;
  });
  const onRequest = (now: Instant, request: VsockRequest): void => {
    if (request.hostPort !== port || !peers.hasRoom) {
      request.refuse(now);
      return;
    }
    const dial = (handler: MuxFlow): VsockStream | undefined => request.accept(now, handler);
    const onEnd = (): void => {};
    peers.addFlow({ link, role: 'listener', flusher: NO_FLUSH, dial, isOpen: true, onEnd });
  };
  const onGuest = (up: boolean): void => {
    if (up) dialled.hurry();
  };
  const device = await VhostVsock.open({
    path,
    socketMode,
    memory: vhostMemory,
    posix: posix(`open --mux ${link.name}`, 'use a unix: link instead'),
    clock,
    log,
    turns,
    onRequest,
    onGuest,
  });
  dialled.start();
  return {
    ...link,
    get state() {
      return dialled.state;
    },
    get problem() {
      return dialled.problem;
    },
    close: async () => {
      await dialled.close();
      await device.close();
    },
  };
}
