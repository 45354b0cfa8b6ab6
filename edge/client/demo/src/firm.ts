import { createContext, useContext } from 'react';
import type { Person } from './people';

export interface FirmContext {
  readonly all: readonly Person[];
  readonly me: Person;
}

export const Firm = createContext<FirmContext>({ all: [], me: { id: '', name: '', role: '', token: '' } });

export const useFirm = (): FirmContext => useContext(Firm);
