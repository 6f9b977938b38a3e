#ifndef FAULT_INJECTOR_H
#define FAULT_INJECTOR_H

// Nothing is called by name: the library is loaded before a program (LD_PRELOAD), see injector.c.

#endif
