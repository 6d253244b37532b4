/** Asks the program's hooks and the audit log about each flow, in this order: the log has what was let begin. */
import type { Log } from '../../base/log.ts';
import { plainValue } from '../../base/plain-text.ts';
import type { Clock } from '../../base/time.ts';
import type { VerdictView } from '../../control/flow-view.ts';
import { discardStream } from '../../native/stream/program-streams.ts';
import type {
  ClientAttempt,
  FlowAttempt,
  FlowGate,
  GateAnswer,
  GateDenial,
  TcpAnswer,
} from '../../proxy/flows/flow-gate.ts';
import type { Guest } from '../../stack/guest.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import { readFlowAnswer, withAddress } from './flow-answer.ts';
import { HeldAnswers } from './held-answers.ts';
import type { AskingGuest, FlowRequest, NetworkHooks, PublishedClientRequest } from './hooks.ts';
import { Questions } from './questions.ts';

const DEFAULT_TIMEOUT_MS = 5_000;

export interface ProgramGateDeps {
  readonly hooks: NetworkHooks;
  readonly audit: Pick<AuditLog, 'isRequired' | 'admits'> | undefined;
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Log;
  whoIs(owner: Guest): AskingGuest;
  nameOf(attempt: FlowAttempt): string | undefined;
  /** As the events of verdicts have it. */
  verdictOf(attempt: FlowAttempt): VerdictView;
}

const NO_RECORD: GateDenial = { why: 'audit', text: 'the audit log cannot have a record of it' };
const byProgram = (text: string): GateDenial => ({ why: 'program', text });

export class ProgramGate implements FlowGate {
  readonly questions: Questions;
  private readonly deps: ProgramGateDeps;
  private readonly flows: HeldAnswers<GateAnswer>;
  private readonly clients: HeldAnswers<GateDenial | undefined>;

  constructor(deps: ProgramGateDeps) {
    this.deps = deps;
    const { log, hooks, clock } = deps;
    this.questions = new Questions(log, hooks.hookTimeout ?? DEFAULT_TIMEOUT_MS);
    this.flows = new HeldAnswers(clock);
    this.clients = new HeldAnswers(clock);
  }

  askTcp(attempt: FlowAttempt, decided: (answer: TcpAnswer) => void): void {
    this.askFlow(attempt, (answer) => {
      const denial = answer.kind === 'deny' ? undefined : this.askService(attempt);
      if (denial !== undefined && answer.kind === 'duplex') discardStream(answer.duplex);
      decided(denial === undefined ? answer : { kind: 'deny', ...denial });
    });
  }

  askNow(attempt: FlowAttempt): GateAnswer {
    if (this.deps.hooks.onFlow === undefined) return this.askService(attempt);
    const { owner, protocol, remote, remotePort } = attempt;
    const answer = this.flows.ask(owner, `${protocol} ${remote} ${remotePort}`, (decided) => {
      this.askFlow(attempt, (given) => decided(withoutConnection(given)));
    });
    if (answer !== undefined && 'why' in answer) return answer;
    return this.askService(attempt) ?? answer;
  }

  askService(attempt: FlowAttempt): GateDenial | undefined {
    const { audit } = this.deps;
    if (audit?.isRequired !== true) return undefined;
    const guestAddress = attempt.guest?.toString() ?? null;
    const guestPort = attempt.guestPort ?? null;
    const verdict = { ...this.deps.verdictOf(attempt), guestAddress, guestPort };
    return audit.admits({ verdict }) ? undefined : NO_RECORD;
  }

  askClient(client: ClientAttempt, decided: (denial: GateDenial | undefined) => void): void {
    this.askAboutClient(client, (denial) => decided(denial ?? this.recordClient(client)));
  }

  askClientNow(client: ClientAttempt): GateDenial | undefined {
    if (this.deps.hooks.onPublishedClient === undefined) return this.recordClient(client);
    const { publication, address, port } = client;
    const denial = this.clients.ask(undefined, `${publication} ${address} ${port}`, (decided) => {
      this.askAboutClient(client, decided);
    });
    return denial ?? this.recordClient(client);
  }

  close(): void {
    this.questions.close();
  }

  private askFlow(attempt: FlowAttempt, then: (answer: TcpAnswer) => void): void {
    const { onFlow } = this.deps.hooks;
    if (onFlow === undefined) {
      then({ kind: 'allow' });
      return;
    }
    this.questions.ask<TcpAnswer>({
      hook: 'onFlow',
      owner: attempt.owner.owner,
      call: () => {
        const answer: unknown = onFlow(this.viewOf(attempt));
        return answer instanceof Promise ? answer.then(withAddress) : withAddress(answer);
      },
      read: readFlowAnswer,
      denied: (text) => ({ kind: 'deny', ...byProgram(text) }),
      onAnswer: then,
      discard: (late) => {
        if (late.kind === 'duplex') discardStream(late.duplex);
      },
    });
  }

  private askAboutClient(
    client: ClientAttempt,
    then: (denial: GateDenial | undefined) => void,
  ): void {
    const { onPublishedClient } = this.deps.hooks;
    if (onPublishedClient === undefined) {
      then(undefined);
      return;
    }
    this.questions.ask<'allow' | GateDenial>({
      hook: 'onPublishedClient',
      owner: undefined,
      call: () => onPublishedClient(clientView(client)),
      read: (answer) => {
        if (answer === 'allow') return answer;
        return answer === 'deny' ? byProgram('onPublishedClient denies it') : undefined;
      },
      denied: byProgram,
      onAnswer: (answer) => then(answer === 'allow' ? undefined : answer),
    });
  }

  private recordClient(client: ClientAttempt): GateDenial | undefined {
    const { audit } = this.deps;
    if (audit?.isRequired !== true) return undefined;
    return audit.admits({ client: clientView(client) }) ? undefined : NO_RECORD;
  }

  private viewOf(attempt: FlowAttempt): FlowRequest {
    const { owner, protocol, guest, guestPort, remote, remotePort, rule } = attempt;
    return plainValue({
      protocol,
      ...this.deps.whoIs(owner),
      guestAddress: guest?.toString() ?? null,
      guestPort: guestPort ?? null,
      remoteAddress: remote.toString(),
      remotePort,
      name: this.deps.nameOf(attempt) ?? null,
      rule: rule ?? null,
    });
  }
}

/** A Duplex is one connection: datagrams have no end, and no order. */
function withoutConnection(answer: TcpAnswer): GateAnswer {
  switch (answer.kind) {
    case 'allow':
      return undefined;
    case 'deny':
      return answer;
    case 'duplex':
      discardStream(answer.duplex);
      return byProgram('onFlow: what is not TCP cannot be answered by a Duplex');
    case 'redirect':
      return { address: answer.address, port: answer.port };
  }
}

const clientView = (client: ClientAttempt): PublishedClientRequest => {
  const { publication, protocol, address, port, guest, guestPort } = client;
  return {
    port: publication,
    protocol,
    clientAddress: address ?? null,
    clientPort: port ?? null,
    guestAddress: guest?.toString() ?? null,
    guestPort,
  };
};
