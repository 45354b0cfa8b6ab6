import { Wand2 } from 'lucide-react';
import { Popover } from 'radix-ui';
import { useState } from 'react';
import { useFailure } from '../failure';
import { useFirm } from '../firm';
import { HOME } from '../route';
import { addDocketEntry, createTask, deadlineNears, notify, openCase, systemAlert, uploadDocument } from '../happen';

/** What a firm's services would do by themselves, at the press of a button. */
export function Happen({ caseId }: { caseId: string }) {
  const { all, me } = useFirm();
  const failed = useFailure();
  const [said, setSaid] = useState('');
  const id = caseId || HOME;
  const deeds: [label: string, run: () => Promise<void>][] = [
    ['Open a new case', () => openCase(`2026-${String(Math.floor(Math.random() * 9000) + 1000)}`, me.id)],
    ['Upload a document', () => uploadDocument(id, me.id)],
    ['Add a docket entry', () => addDocketEntry(id, Math.floor(Math.random() * 90) + 10)],
    ['Assign a task', () => createTask(id, me.id)],
    ['Let a deadline near', () => deadlineNears(id, '')],
    ['Raise a system alert', systemAlert],
    ...all.map(({ id: user, name }): [string, () => Promise<void>] => [`Notify ${user === me.id ? 'yourself' : name}`, () => notify(user, me.name)]),
  ];
  const press = (label: string, run: () => Promise<void>) => {
    run().then(() => setSaid(`${label}: published`), failed('Nothing was published'));
  };
  return (
    <Popover.Root>
      <Popover.Trigger className="quiet happen" aria-label="Make something happen"><Wand2 aria-hidden /><span>Make something happen</span></Popover.Trigger>
      <Popover.Portal>
        <Popover.Content className="panel deeds" align="end" sideOffset={8} collisionPadding={8} aria-label="Make something happen">
          <p className="soft">Publishes to NATS as a service would. Case {id}.</p>
          <ul>
            {deeds.map(([label, run]) => <li key={label}><button type="button" onClick={() => press(label, run)}>{label}</button></li>)}
          </ul>
          <p className="soft" role="status">{said}</p>
        </Popover.Content>
      </Popover.Portal>
    </Popover.Root>
  );
}
