/** Asks the program's hook about names, and makes its answer one of DNS. */
import type { Answer } from 'dns-packet';
import { plainValue } from '../../base/plain-text.ts';
import type { AskAboutName } from '../../proxy/dns/forwarder.ts';
import { parseAddress } from '../../services/address-text.ts';
import { type DnsQuery, NOERROR, NXDOMAIN, TYPE_A, TYPE_AAAA } from '../../services/dns/message.ts';
import { EDE_BLOCKED, localReply } from '../../services/dns/reply.ts';
import { soa } from '../../services/dns/soa.ts';
import { statedName } from '../../services/sniff/host-name.ts';
import type { Guest } from '../../stack/guest.ts';
import { typeText } from '../notes.ts';
import type { AskingGuest, NetworkHooks } from './hooks.ts';
import type { Questions } from './questions.ts';

const TTL_S = 5;
/** More in one answer is a mistake. */
const ADDRESSES_MAX = 16;

export interface DnsHookDeps {
  readonly onDns: NonNullable<NetworkHooks['onDns']>;
  readonly questions: Questions;
  /** Who asks for hawser's own needs, which are nobody else's. */
  readonly ourselves: () => Guest;
  whoIs(owner: Guest): AskingGuest;
  /** @param why the answer, or what is wrong with it */
  onNameDenied(owner: Guest, name: string, why: string): void;
}

type Decision = 'allow' | { readonly denied: string } | { readonly addresses: readonly string[] };

export const dnsHook =
  ({ onDns, questions, ourselves, whoIs, onNameDenied }: DnsHookDeps): AskAboutName =>
  (owner, query, answered) => {
    if (owner === ourselves()) {
      answered(undefined);
      return;
    }
    const { name, type } = query;
    questions.ask<Decision>({
      hook: 'onDns',
      owner: owner.owner,
      call: () => onDns(plainValue({ ...whoIs(owner), name, type: typeText(type) })),
      read: readAnswer,
      denied: (why) => ({ denied: why }),
      onAnswer: (decision) => {
        if (decision === 'allow') {
          answered(undefined);
          return;
        }
        if ('denied' in decision) onNameDenied(owner, name, decision.denied);
        answered(replyTo(query, decision));
      },
    });
  };

function readAnswer(answer: unknown): Decision | undefined {
  if (answer === 'allow') return answer;
  if (answer === 'deny') return { denied: 'onDns denies it' };
  if (!Array.isArray(answer) || answer.length > ADDRESSES_MAX) return undefined;
  const addresses: string[] = [];
  for (const text of answer) {
    const address = typeof text === 'string' ? parseAddress(text) : undefined;
    if (address === undefined) return undefined;
    addresses.push(address.toString());
  }
  return { addresses };
}

function replyTo(query: DnsQuery, decision: Exclude<Decision, 'allow'>): Uint8Array {
  const authorities = [soa(statedName(query.name) ?? '.', TTL_S)];
  if ('denied' in decision) {
    const error = { code: EDE_BLOCKED, text: decision.denied };
    return localReply(query, NXDOMAIN, { answers: [], authorities, error });
  }
  const { name, type } = query;
  const isWanted = (address: string): boolean =>
    type === (address.includes(':') ? TYPE_AAAA : TYPE_A);
  const answers = decision.addresses.filter(isWanted).map(
    (address): Answer => ({
      type: address.includes(':') ? 'AAAA' : 'A',
      ...{ name, ttl: TTL_S, data: address },
    }),
  );
  return localReply(query, NOERROR, {
    answers,
    authorities: answers.length > 0 ? [] : authorities,
  });
}
