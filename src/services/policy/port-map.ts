/** For each port the first of the rules that are for it, found by halving. */
import type { PortRange } from './policy.ts';
import type { PortSet } from './port-set.ts';

export const NO_RULE = -1;
const MAX_PORT = 65_535;

export interface RuleOfPorts {
  readonly index: number;
  /** Undefined: all of them. */
  readonly ports: readonly PortRange[] | undefined;
}

export class PortMap {
  /** Where each run of ports begins that have the same rule; the first begins at 0. */
  private readonly starts: Int32Array;
  private readonly rules: Int32Array;

  private constructor(starts: Int32Array) {
    this.starts = starts;
    this.rules = new Int32Array(starts.length).fill(NO_RULE);
  }

  /**
   * @param list in the order of the rules
   * @param edges empty, and again at the end; nobody else's meanwhile
   */
  static *inSteps(list: readonly RuleOfPorts[], edges: PortSet): Generator<void, PortMap, void> {
    edges.add(0);
    for (const { ports } of list) {
      for (const { from, to } of ports ?? []) {
        edges.add(from);
        if (to < MAX_PORT) edges.add(to + 1);
      }
      yield;
    }
    const map = new PortMap(edges.take());
    yield;
    yield* map.fill(list);
    return map;
  }

  /** @returns the first rule's index, or {@link NO_RULE} */
  find(port: number): number {
    return this.rules[this.runOf(port)] ?? NO_RULE;
  }

  private runOf(port: number): number {
    const { starts } = this;
    let low = 0;
    let high = starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((starts[middle] ?? 0) <= port) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Runs that have a rule are skipped, by a chain to the next one without, so that each is filled once. */
  private *fill(list: readonly RuleOfPorts[]): Generator<void, void, void> {
    const { starts, rules } = this;
    const end = starts.length;
    const next = new Int32Array(end);
    for (let at = 0; at < end; at++) next[at] = at;
    const freeFrom = (at: number): number => {
      let found = at;
      while (found < end && next[found] !== found) found = next[found] ?? end;
      for (let i = at; i < found; ) {
        const after = next[i] ?? end;
        next[i] = found;
        i = after;
      }
      return found;
    };
    for (const { index, ports = [{ from: 0, to: MAX_PORT }] } of list) {
      for (const { from, to } of ports) {
        const until = to >= MAX_PORT ? end : this.runOf(to + 1);
        for (let at = freeFrom(this.runOf(from)); at < until; at = freeFrom(at)) {
          rules[at] = index;
          next[at] = at + 1;
        }
      }
      yield;
    }
  }
}
