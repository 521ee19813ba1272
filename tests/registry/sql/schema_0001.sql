BEGIN TRANSACTION;
CREATE TABLE aliases (
	model VARCHAR(128) NOT NULL, 
	alias VARCHAR(64) NOT NULL, 
	number INTEGER NOT NULL, 
	revision BIGINT NOT NULL, 
	CONSTRAINT pk_aliases PRIMARY KEY (model, alias), 
	CONSTRAINT fk_aliases_versions FOREIGN KEY(model, number) REFERENCES versions (model, number)
);
INSERT INTO "aliases" VALUES('m','stable',1,1);
INSERT INTO "aliases" VALUES('m','canary',2,2);
INSERT INTO "aliases" VALUES('n','stable',1,4);
CREATE TABLE audit (
	revision BIGINT NOT NULL, 
	at DATETIME NOT NULL, 
	actor VARCHAR(256) NOT NULL, 
	action VARCHAR(32) NOT NULL, 
	model VARCHAR(128) NOT NULL, 
	version VARCHAR(32) NOT NULL, 
	"before" JSON NOT NULL, 
	"after" JSON NOT NULL, 
	previous_hash VARCHAR(64) NOT NULL, 
	hash VARCHAR(64) NOT NULL, 
	CONSTRAINT pk_audit PRIMARY KEY (revision)
);
INSERT INTO "audit" VALUES(1,'2026-01-02 03:04:06.678901','ann','version.register','m','1.0.0','{}','{"aliases":["stable"],"change":"minor","digest":"5305ae00ca121cd96b6c91c0d3b674b0c54b90f73049693efe52beb795dbb46d","is_forced":false,"number":1,"quantized_from":""}','0000000000000000000000000000000000000000000000000000000000000000','2ec9f35209b9a9b492bc747bd506942b70fa1632a7127259b978e7b3842b8b04');
INSERT INTO "audit" VALUES(2,'2026-01-02 03:04:07.678901','bob','version.register','m','1.1.0','{}','{"aliases":["canary"],"change":"minor","digest":"14850f015f32f537226ba4ca870a45f60e17ca4db53dd30fd9b1e674f53999c3","is_forced":false,"number":2,"quantized_from":""}','2ec9f35209b9a9b492bc747bd506942b70fa1632a7127259b978e7b3842b8b04','951ff8f397daecd300f5a8ae0f00906c047f86011cb63fd919ef69f2bf0742f2');
INSERT INTO "audit" VALUES(3,'2026-01-02 03:04:08.678901','bob','version.register','m','2.0.0','{}','{"aliases":[],"change":"minor","digest":"836f1ccc6e11a8f52d05e36a6f0b7002bc0bfc129aaba0c303284c2c031ecbfb","is_forced":false,"number":3,"quantized_from":""}','951ff8f397daecd300f5a8ae0f00906c047f86011cb63fd919ef69f2bf0742f2','fd5ef237147b18024566f24d2852b054baf4ed9955fee1f1c967440d90800ecd');
INSERT INTO "audit" VALUES(4,'2026-01-02 03:04:09.678901','ann','version.register','n','1.0.0','{}','{"aliases":["stable"],"change":"minor","digest":"4ec7a577ac38b69de160ff41545040e2bf0f01778cbf1a9619011604d2637bdb","is_forced":false,"number":1,"quantized_from":""}','fd5ef237147b18024566f24d2852b054baf4ed9955fee1f1c967440d90800ecd','a4465c1e834ced04339152e1c78a3ac8f22111995414756655ac780aafa78e66');
INSERT INTO "audit" VALUES(5,'2026-01-02 03:04:10.678901','bob','version.place','m','1.1.0','{"placements":{"1.1.0":"follow"}}','{"placements":{"1.1.0":"loaded"}}','a4465c1e834ced04339152e1c78a3ac8f22111995414756655ac780aafa78e66','c3a30dc2e924bf1ff91f4cd47fd685e4a4151be8c9c09174b4ae4378f287f14e');
INSERT INTO "audit" VALUES(6,'2026-01-02 03:04:11.678901','bob','version.delete','m','2.0.0','{"digest":"836f1ccc6e11a8f52d05e36a6f0b7002bc0bfc129aaba0c303284c2c031ecbfb","number":3,"state":"active"}','{}','c3a30dc2e924bf1ff91f4cd47fd685e4a4151be8c9c09174b4ae4378f287f14e','e0a62f4f71e38eaf4e67bb5543c9214fb48f7fe67fd012d14d528d222f38ae3e');
INSERT INTO "audit" VALUES(7,'2026-01-02 03:04:12.678901','ann','notes.set','m','1.0.0','{}','{"notes":"notes"}','e0a62f4f71e38eaf4e67bb5543c9214fb48f7fe67fd012d14d528d222f38ae3e','3727e4ff9765bba7333ac8187bff8abc5f4668d10753f6f6597514972e29662b');
INSERT INTO "audit" VALUES(8,'2026-01-02 03:04:13.678901','ann','version.archive','n','1.0.0','{"state":"active"}','{"state":"archived"}','3727e4ff9765bba7333ac8187bff8abc5f4668d10753f6f6597514972e29662b','71a31b35108925ee4c8b73330e548e5a66c45a883c926be0617843d6fee95776');
CREATE TABLE models (
	name VARCHAR(128) NOT NULL, 
	next_number INTEGER NOT NULL, 
	created_at DATETIME NOT NULL, 
	revision BIGINT NOT NULL, 
	CONSTRAINT pk_models PRIMARY KEY (name)
);
INSERT INTO "models" VALUES('m',4,'2026-01-02 03:04:06.678901',7);
INSERT INTO "models" VALUES('n',2,'2026-01-02 03:04:09.678901',8);
CREATE TABLE serinus_schema (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT serinus_schema_pkc PRIMARY KEY (version_num)
);
INSERT INTO "serinus_schema" VALUES('0001');
CREATE TABLE versions (
	model VARCHAR(128) NOT NULL, 
	number INTEGER NOT NULL, 
	version VARCHAR(32) NOT NULL, 
	state VARCHAR(32) NOT NULL, 
	placement VARCHAR(32) NOT NULL, 
	manifest JSON NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	facts TEXT NOT NULL, 
	examination JSON NOT NULL, 
	report JSON NOT NULL, 
	tags JSON NOT NULL, 
	notes TEXT NOT NULL, 
	change VARCHAR(32) NOT NULL, 
	is_forced BOOLEAN NOT NULL, 
	created_at DATETIME NOT NULL, 
	created_by VARCHAR(256) NOT NULL, 
	revision BIGINT NOT NULL, 
	CONSTRAINT pk_versions PRIMARY KEY (model, number), 
	CONSTRAINT fk_versions_models FOREIGN KEY(model) REFERENCES models (name), 
	CONSTRAINT uq_versions_model_version UNIQUE (model, version)
);
INSERT INTO "versions" VALUES('m',1,'1.0.0','active','follow','{"files":[{"path":"model.onnx","sha256":"de3fd6f082045ea470973b5f24618b33ac2ca080ae3de284b11c70b338217a4e","size_bytes":7}],"main":"model.onnx"}','5305ae00ca121cd96b6c91c0d3b674b0c54b90f73049693efe52beb795dbb46d','metrics:
  accuracy: 0.5
tags:
  team: a
','{"goldens":[{"max_difference":1e-06,"name":"golden.npz"}],"inputs":[{"batch_axis":0,"dtype":"FP32","name":"x","optional":false,"shape":["rows",4]},{"batch_axis":null,"dtype":"BOOL","name":"mask","optional":true,"shape":[4]}],"load_s":0.25,"notes":["it mixes its rows"],"outputs":[{"batch_axis":0,"dtype":"FP32","name":"y","optional":false,"shape":["rows",2]}],"peak_bytes":1048576}','{}','{"team":"a"}','notes','minor',0,'2026-01-02 03:04:06.678901','ann',7);
INSERT INTO "versions" VALUES('m',2,'1.1.0','active','loaded','{"files":[{"path":"model.onnx","sha256":"a4a01c9d292e1dd41c81f509f74dbe614919f517e223957bbf2571deea023132","size_bytes":7}],"main":"model.onnx"}','14850f015f32f537226ba4ca870a45f60e17ca4db53dd30fd9b1e674f53999c3','','{"goldens":[{"max_difference":1e-06,"name":"golden.npz"}],"inputs":[{"batch_axis":0,"dtype":"FP32","name":"x","optional":false,"shape":["rows",4]},{"batch_axis":null,"dtype":"BOOL","name":"mask","optional":true,"shape":[4]}],"load_s":0.25,"notes":["it mixes its rows"],"outputs":[{"batch_axis":0,"dtype":"FP32","name":"y","optional":false,"shape":["rows",2]}],"peak_bytes":1048576}','{}','{}','','minor',0,'2026-01-02 03:04:07.678901','bob',5);
INSERT INTO "versions" VALUES('m',3,'2.0.0','deleted','follow','{"files":[{"path":"model.onnx","sha256":"a12c178d2980f48fb06250fdbbf1a677389ed2ca2e9284fce394de9e3b29ce26","size_bytes":7}],"main":"model.onnx"}','836f1ccc6e11a8f52d05e36a6f0b7002bc0bfc129aaba0c303284c2c031ecbfb','','{"goldens":[{"max_difference":1e-06,"name":"golden.npz"}],"inputs":[{"batch_axis":0,"dtype":"FP32","name":"x","optional":false,"shape":["rows",4]},{"batch_axis":null,"dtype":"BOOL","name":"mask","optional":true,"shape":[4]}],"load_s":0.25,"notes":["it mixes its rows"],"outputs":[{"batch_axis":0,"dtype":"FP32","name":"y","optional":false,"shape":["rows",2]}],"peak_bytes":1048576}','{}','{}','','minor',0,'2026-01-02 03:04:08.678901','bob',6);
INSERT INTO "versions" VALUES('n',1,'1.0.0','archived','follow','{"files":[{"path":"model.onnx","sha256":"e8ee11cfa6cb74627ff14a118816cb0b269b72e02c2aa8b8b253cf59071f1a3a","size_bytes":7}],"main":"model.onnx"}','4ec7a577ac38b69de160ff41545040e2bf0f01778cbf1a9619011604d2637bdb','','{"goldens":[{"max_difference":1e-06,"name":"golden.npz"}],"inputs":[{"batch_axis":0,"dtype":"FP32","name":"x","optional":false,"shape":["rows",4]},{"batch_axis":null,"dtype":"BOOL","name":"mask","optional":true,"shape":[4]}],"load_s":0.25,"notes":["it mixes its rows"],"outputs":[{"batch_axis":0,"dtype":"FP32","name":"y","optional":false,"shape":["rows",2]}],"peak_bytes":1048576}','{}','{}','','minor',0,'2026-01-02 03:04:09.678901','ann',8);
CREATE INDEX ix_models_revision ON models (revision);
COMMIT;
