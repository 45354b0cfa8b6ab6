// Rendering without a testing library: each project resolves `react` to the version under test.

import { StrictMode, type ReactNode } from 'react';
import { flushSync } from 'react-dom';
import { createRoot } from 'react-dom/client';
import { onTestFinished } from 'vitest';
import { RealtimeProvider } from '@lexiflow/realtime/react';
import type { Realtime } from '@lexiflow/realtime';

export interface Rendered {
  readonly container: HTMLElement;
  show(node: ReactNode): void;
  unmount(): void;
}

/** Renders in StrictMode below a provider, if there is a client for it. */
export function render(node: ReactNode, client?: Realtime): Rendered {
  const container = document.body.appendChild(document.createElement('div'));
  const root = createRoot(container);
  let mounted = true;
  const show = (next: ReactNode) => {
    const all = client ? <RealtimeProvider client={client}>{next}</RealtimeProvider> : next;
    flushSync(() => root.render(<StrictMode>{all}</StrictMode>));
  };
  const unmount = () => {
    if (mounted) root.unmount();
    mounted = false;
    container.remove();
  };
  onTestFinished(unmount);
  show(node);
  return { container, show, unmount };
}

/** A hook's newest result, and every one before it: what showed for a moment only shows there. */
export function renderHook<P, R>(hook: (props: P) => R, client: Realtime | undefined, props: NoInfer<P>) {
  const seen: R[] = [];
  function Probe({ given }: { given: P }) {
    const result = hook(given);
    seen.push(result);
    return null;
  }
  const rendered = render(<Probe given={props} />, client);
  return {
    get current(): R {
      return seen.at(-1)!;
    },
    history: seen as readonly R[],
    again: (next: P) => rendered.show(<Probe given={next} />),
    unmount: rendered.unmount,
  };
}
