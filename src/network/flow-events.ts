/** Events of flows for the hub: made only while it wants them. */
import type { EventHub } from './event-hub.ts';
import type { FlowViews } from './flow-views.ts';

export function emitFlowEvents(flows: Pick<FlowViews, 'followWhile'>, hub: EventHub): void {
  const isWanted = (): boolean => hub.has('flow') || hub.has('block');
  flows.followWhile(isWanted, (event) => {
    switch (event.kind) {
      case 'opened':
      case 'ended':
        if (hub.has('flow')) hub.emit('flow', event);
        return;
      case 'blocked':
      case 'observed':
        if (hub.has('block')) hub.emit('block', event);
        return;
      case 'missed':
        hub.gap({ why: 'overrun', events: event.events });
    }
  });
}
