/** What is made of the hooks of a program, where there are any. */
import type { AskAboutName } from '../../proxy/dns/forwarder.ts';
import { type DnsHookDeps, dnsHook } from './dns-hook.ts';
import { ProgramGate, type ProgramGateDeps } from './program-gate.ts';

export type Asking = ProgramGateDeps & Pick<DnsHookDeps, 'ourselves' | 'onNameDenied'>;

/** @returns undefined: nobody has to be asked about anything */
export function makeGate(asking: Asking): ProgramGate | undefined {
  const { hooks, audit } = asking;
  const { onFlow, onDns, onPublishedClient } = hooks;
  const isAsked = (onFlow ?? onDns ?? onPublishedClient) !== undefined;
  return isAsked || audit?.isRequired === true ? new ProgramGate(asking) : undefined;
}

export function makeDnsHook(
  { hooks, ...asking }: Asking,
  gate: ProgramGate | undefined,
): AskAboutName | undefined {
  const { onDns } = hooks;
  if (onDns === undefined || gate === undefined) return undefined;
  return dnsHook({ ...asking, onDns, questions: gate.questions });
}
