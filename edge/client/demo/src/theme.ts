import { useEffect, useState } from 'react';

export type Theme = 'system' | 'light' | 'dark';
const order: readonly Theme[] = ['system', 'light', 'dark'];

/** The window's colours: as the system has them, unless somebody chose. */
export function useTheme(): [Theme, () => void] {
  const [theme, setTheme] = useState<Theme>(() => {
    const kept = localStorage.getItem('lexiflow-theme') as Theme | null;
    return kept && order.includes(kept) ? kept : 'system';
  });
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
    localStorage.setItem('lexiflow-theme', theme);
  }, [theme]);
  return [theme, () => setTheme(order[(order.indexOf(theme) + 1) % order.length]!)];
}
