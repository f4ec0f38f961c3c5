"""Alarms: judge what comes over the bus, and keep one incident per cause.

    bus ──► inbox ──► watch (rules, balance: pure) ──► recorder ──► alarm, incident, journal ──► bus
                                                          ▲
                                    actions (acknowledge, shelve)

Nothing here waits for the historian: alarms read the bus with a session of their own.
"""
