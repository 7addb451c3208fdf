//! Packet sources, decapsulation, flow table, TCP reassembly and exchange pairing.
