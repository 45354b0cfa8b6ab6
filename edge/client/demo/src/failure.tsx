import { createContext, useCallback, useContext, useEffect, useState, type ReactNode } from 'react';
import { X } from 'lucide-react';

const Failure = createContext<(what: string) => (error: Error) => void>(() => () => {});

/** What did not work is said at the bottom of the page until it is closed, or for ten seconds. */
export function Failures({ children }: { children: ReactNode }) {
  const [text, setText] = useState('');
  const failed = useCallback((what: string) => (error: Error) => setText(`${what}: ${error.message}`), []);
  useEffect(() => {
    if (!text) return;
    const timer = setTimeout(() => setText(''), 10_000);
    return () => clearTimeout(timer);
  }, [text]);
  return (
    <Failure.Provider value={failed}>
      {children}
      <div className="failure" role="alert">
        {text && (
          <p>
            {text}
            <button type="button" className="icon" aria-label="Close" onClick={() => setText('')}><X aria-hidden /></button>
          </p>
        )}
      </div>
    </Failure.Provider>
  );
}

/** Gives a handler for a rejected promise. */
export const useFailure = () => useContext(Failure);
