import { Monitor, Moon, Sun } from 'lucide-react';
import { useTheme } from '../theme';

const shown = {
  system: { icon: Monitor, label: 'Colours: as the system' },
  light: { icon: Sun, label: 'Colours: light' },
  dark: { icon: Moon, label: 'Colours: dark' },
};

export function ThemeButton() {
  const [theme, next] = useTheme();
  const { icon: Icon, label } = shown[theme];
  return <button type="button" className="icon" aria-label={label} title={label} onClick={next}><Icon aria-hidden /></button>;
}
