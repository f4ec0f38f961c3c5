"""From the bus into the historian, acknowledged after the commit.

    inbox ─► batching ─► gashub.wire ─► admission ─► store ─► commit ─► acknowledge ─► tell gateways `committed`
    (MQTT)   (rows, age,  (columns)     (who, what,  (COPY, ledger, dead letters:
              window)                    when)        one transaction)

inbox       the broker's session: manual acknowledgement, a bounded window; the only module that knows MQTT
batching    when a pile of messages is worth a transaction; pure
admission   which frames of which messages are taken, and what becomes of the others; pure
ledger      which messages of each gateway's boot and lane are settled, so that it may forget them; pure
rows        frames as the bytes of a binary COPY, and the rule by which two frames of one moment merge; pure
partitions  a table for each day, made ahead
store       one batch into the database, in one transaction
line        the loop that joins these
queries     what others may ask of the historian
"""
