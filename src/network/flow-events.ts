/** Events of flows for the hub: made only while it wants them. */
import type { VerdictFeed } from '../proxy/flows/verdict-feed.ts';
import type { EventHub } from './event-hub.ts';
import type { FlowViews } from './flow-views.ts';

export function emitFlowEvents(
  flows: Pick<FlowViews, 'followWhile'>,
  verdicts: Pick<VerdictFeed, 'isWanted'>,
  hub: EventHub,
): void {
  verdicts.isWanted = hub.asker('verdict');
  flows.followWhile(hub.asker('flow', 'block', 'verdict'), (event) => {
    if ('flow' in event) {
      if (hub.has('flow')) hub.emit('flow', event);
    } else if ('block' in event) {
      if (hub.has('block')) hub.emit('block', event);
    } else if ('verdict' in event) {
      if (hub.has('verdict')) hub.emit('verdict', event);
    } else hub.gap({ why: 'overrun', events: event.events });
  });
}
