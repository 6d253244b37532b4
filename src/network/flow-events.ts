/** Events of flows for the embedding program: made only while it listens. */
import type { Emitter } from '../base/emitter.ts';
import type { FlowsView } from '../control/flow-view.ts';
import type { NetworkEvents } from './events.ts';

export class FlowEvents {
  private readonly flows: Pick<FlowsView, 'follow'>;
  private readonly emitter: Emitter<NetworkEvents>;
  private unfollow: (() => void) | undefined = undefined;

  constructor(flows: Pick<FlowsView, 'follow'>, emitter: Emitter<NetworkEvents>) {
    this.flows = flows;
    this.emitter = emitter;
  }

  /** A listener came or went. */
  changed(): void {
    const { emitter } = this;
    if (!emitter.has('flow') && !emitter.has('block')) this.close();
    else {
      this.unfollow ??= this.flows.follow((event) => {
        if (event.kind === 'blocked') emitter.emit('block', event);
        else if (event.kind !== 'missed') emitter.emit('flow', event);
      });
    }
  }

  close(): void {
    this.unfollow?.();
    this.unfollow = undefined;
  }
}
