import type { FlowId } from '../../stack/flow.ts';
import type { ProxyQuestion } from '../flows/proxied-destinations.ts';
import type { HttpRelay } from './http-relay.ts';
import type { ProxyDialDeps } from './proxy-dial.ts';
import type { ProxiedCount } from './route-step.ts';

/** What the ways of all flows have in common. */
export interface RouteDeps {
  readonly dial: ProxyDialDeps;
  readonly relay: HttpRelay;
  /** Whether the guest has asked for this name, and the address was an answer. */
  readonly isKnown: (question: ProxyQuestion, name: string) => boolean;
  readonly count: (what: ProxiedCount) => void;
  readonly onFailed: (id: FlowId, why: string) => void;
  /** How long a guest may take to say where it wants to go. */
  readonly waitMs: number;
}
