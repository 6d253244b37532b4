/** One connection of DNS over TLS (RFC 7858): queries pipelined, with ids of their own, answers in any order. */
import { randomInt } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { reportFault } from '../../../base/faults.ts';
import { answers, dnsId } from '../../../services/dns/message.ts';
import type { DnsUpstream } from '../../../services/dns/resolv-conf.ts';
import { withId } from '../../../services/dns/surgery.ts';
import { DnsTcpReader, frameDnsMessage } from '../../../services/dns/tcp-framing.ts';
import { type Cancel, MAX_MESSAGE_LEN } from '../ask.ts';
import { ConnectionTimer } from './connection-timer.ts';
import type {
  ConnectionEvents,
  Question,
  SecureConnection,
  SecureDeps,
} from './secure-connection.ts';
import { openTlsSocket } from './tls-socket.ts';

export class TlsConnection implements SecureConnection {
  answered = false;
  private readonly events: ConnectionEvents;
  /** By the id that was sent. */
  private readonly waiting = new Map<number, Question>();
  private readonly cancel: Cancel;
  private readonly timer: ConnectionTimer;
  /** Once it is open. */
  private socket: TLSSocket | undefined = undefined;
  private ended = false;

  constructor(server: DnsUpstream, deps: SecureDeps, events: ConnectionEvents) {
    this.events = events;
    this.timer = new ConnectionTimer({
      onSilence: () => events.onRetired(),
      onEnd: (why) => this.end(why),
    });
    this.cancel = openTlsSocket(server, deps, undefined, {
      onOpen: (socket) => this.onOpen(socket),
      onFailure: (why) => this.end(why),
    });
  }

  send(question: Question): void {
    let id = randomInt(0x1_0000);
    while (this.waiting.has(id)) id = (id + 1) & 0xffff;
    question.sent = withId(question.query, id);
    this.waiting.set(id, question);
    if (this.waiting.size === 1) this.timer.restart(1);
    this.socket?.write(frameDnsMessage(question.sent));
  }

  forget(question: Question): void {
    if (!this.waiting.delete(dnsId(question.sent)) || this.waiting.size > 0) return;
    this.timer.restart(0);
  }

  retire(): void {
    this.timer.retire();
    if (this.waiting.size === 0) this.end('no longer used');
  }

  close(): void {
    this.ended = true;
    this.timer.stop();
    this.cancel();
    this.waiting.clear();
  }

  private onOpen(socket: TLSSocket): void {
    this.socket = socket;
    const reader = new DnsTcpReader(MAX_MESSAGE_LEN, (bytes) => this.onMessage(bytes));
    socket.on('end', () => this.end('closed before the answer'));
    socket.on('data', (bytes) => {
      try {
        const problem = reader.push(bytes);
        if (problem !== undefined) this.end(problem);
      } catch (fault) {
        reportFault('dns', fault);
        this.end('fault');
      }
    });
    for (const { sent } of this.waiting.values()) socket.write(frameDnsMessage(sent));
  }

  private onMessage(bytes: Uint8Array): void {
    const id = dnsId(bytes);
    const question = this.waiting.get(id);
    if (question === undefined || !answers(question.sent, bytes)) return;
    this.answered = true;
    this.waiting.delete(id);
    const isBack = this.timer.onAnswer(this.waiting.size);
    this.events.onAnswer();
    if (isBack) this.events.onBack();
    question.events.onReply(withId(bytes, dnsId(question.query)));
  }

  private end(why: string): void {
    if (this.ended) return;
    const waiting = [...this.waiting.values()];
    this.close();
    this.events.onEnd(why);
    for (const question of waiting) this.events.onLost(question, why);
  }
}
